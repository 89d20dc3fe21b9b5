"""Where files of the hub lie in the cache folder, what is known of them, and which of them are here.

`hub/OWNER/REPOSITORY[@REVISION]/FILE`, as in the repository; beside each `.FILE.json` says where it is from.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from phonelm.engine.hub.listing import choose, part_number
from phonelm.engine.hub.reference import Reference, check_path, parse_reference
from phonelm.files import cache_folder, write_json


@dataclass(frozen=True)
class Record:
    """Where a file came from and what it was then."""

    commit: str
    digest: str
    size_bytes: int
    licence: str | None


@dataclass(frozen=True)
class KeptModel:
    """A model of the hub that is here and whole, in one file or several."""

    reference: Reference
    path: str
    """Of the first file, in the repository."""
    files: tuple[Path, ...]
    record: Record

    @property
    def name(self) -> str:
        """What `phonelm generate` takes."""
        return str(self.reference.with_choice(self.path))

    @property
    def size_bytes(self) -> int:
        """Bytes of all its files."""
        return sum(file.stat().st_size for file in self.files)


def hub_folder() -> Path:
    """Folder of all files from the hub."""
    return cache_folder() / "hub"


def repository_folder(reference: Reference) -> Path:
    """Folder of the files of a repository, at the revision that was named."""
    revision = f"@{quote(reference.revision, safe='')}" if reference.revision else ""
    return hub_folder() / reference.owner / f"{reference.repository}{revision}"


def place_of(reference: Reference, path: str) -> Path:
    """Where a file of a repository is kept. Raises `ValueError` for a path that is not safe."""
    return repository_folder(reference) / check_path(path)


def record_path(file: Path) -> Path:
    """Where it is written what a kept file is."""
    return file.with_name(f".{file.name}.json")


def read_record(file: Path) -> Record | None:
    """Return what a kept file is, None where the file is not here or not whole."""
    try:
        record = Record(**json.loads(record_path(file).read_text(encoding="utf-8")))
        return record if file.is_file() and file.stat().st_size == record.size_bytes else None
    except (OSError, ValueError, TypeError):
        return None


def write_record(file: Path, record: Record) -> None:
    """Write what a kept file is."""
    write_json(record_path(file), asdict(record))


def kept_models(within: Reference | None = None) -> list[KeptModel]:
    """Return the models that are here, of one repository or of all, by their names."""
    folders = [repository_folder(within)] if within else _repository_folders()
    return sorted((model for folder in folders for model in _in(folder)), key=lambda model: model.name)


def find_kept(reference: Reference) -> KeptModel | None:
    """Return the kept model that a reference means; None for none here.

    Raises `ValueError` where it can be one of several.
    """
    models = kept_models(reference)
    if not models:
        return None
    try:
        return choose(models, reference)[0]
    except ValueError:
        if reference.choice is None:
            raise
        return None


def _repository_folders() -> list[Path]:
    return [folder for owner in _folders(hub_folder()) for folder in _folders(owner)]


def _folders(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return [path for path in folder.iterdir() if path.is_dir() and not path.is_symlink()]


def _in(folder: Path) -> Iterator[KeptModel]:
    repository, _, revision = folder.name.partition("@")
    try:
        reference = parse_reference(f"{folder.parent.name}/{repository}")
    except ValueError:
        return
    reference = Reference(reference.owner, reference.repository, unquote(revision) or None)
    for path, file in _files(folder):
        parts = [folder / part for part in _parts(path)]
        record = read_record(file)
        if record and parts[0] == file and all(map(read_record, parts)):
            yield KeptModel(reference, path, tuple(parts), record)


def _files(folder: Path) -> Iterator[tuple[str, Path]]:
    for parent, _, names in os.walk(folder):
        for name in names:
            file = Path(parent, name)
            if name.lower().endswith(".gguf") and not name.startswith(".") and not file.is_symlink():
                yield file.relative_to(folder).as_posix(), file


def _parts(path: str) -> list[str]:
    """The paths of all parts of the model that a file belongs to."""
    part = part_number(path)
    if part is None:
        return [path]
    stem, _, count = part
    return [f"{stem}-{number:05d}-of-{count:05d}{path[-5:]}" for number in range(1, count + 1)]


def document_of(model: KeptModel) -> dict[str, Any]:
    """What `--json` says of a kept model."""
    return {
        "name": model.name,
        "path": str(model.files[0]),
        "files": [str(file) for file in model.files],
        "size_bytes": model.size_bytes,
        "commit": model.record.commit,
        "licence": model.record.licence,
    }
