"""Removing models that were pulled: only files that lie in the cache folder, and never through a link."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from phonelm.engine.hub.kept import KeptModel, find_kept, hub_folder, kept_models, record_path
from phonelm.engine.hub.leftovers import beginnings_of
from phonelm.engine.hub.locks import is_locked
from phonelm.engine.hub.reference import Reference, looks_like_reference, parse_reference
from phonelm.files import cache_folder


@dataclass(frozen=True)
class Removal:
    """The files of one model, and what goes with them."""

    name: str
    files: tuple[Path, ...]

    @property
    def size_bytes(self) -> int:
        """Bytes that become free."""
        return sum(file.lstat().st_size for file in self.files if file.exists())


def removal_of_known(name: str, file: Path) -> Removal:
    """The removal of a known model. Raises `FileNotFoundError` where it is not here."""
    found = _checked(name, [file, *beginnings_of(file)])
    if not found:
        raise FileNotFoundError(f"{name} is not here; see: phonelm models")
    return Removal(name, tuple(found))


def removals_of_reference(text: str) -> list[Removal]:
    """The removals of what a reference means: one model, or all of a repository that is named alone.

    Raises `ValueError` for what is no reference or means several, `FileNotFoundError` for nothing here.
    """
    if not looks_like_reference(text):
        raise ValueError(f"{text!a} is no model that was pulled; see: phonelm models")
    reference = parse_reference(text)
    models = _meant(reference)
    if not models:
        raise FileNotFoundError(f"{reference} is not here; see: phonelm models")
    return [Removal(model.name, tuple(_files_of(model))) for model in models]


def _meant(reference: Reference) -> Sequence[KeptModel]:
    if reference.choice is None:
        return kept_models(reference)
    found = find_kept(reference)
    return [found] if found else []


def _files_of(model: KeptModel) -> list[Path]:
    beside = [path for file in model.files for path in (record_path(file), *beginnings_of(file))]
    return _checked(model.name, [*model.files, *beside])


def _checked(name: str, files: Sequence[Path]) -> list[Path]:
    """Those that are there. Raises `ValueError` where a link leads elsewhere or a process is at work."""
    cache = cache_folder()
    for file in files:
        between = file.relative_to(cache).parents
        if any((cache / folder).is_symlink() for folder in between if str(folder) != "."):
            raise ValueError(f"{name} lies behind a link in {cache}; remove it there yourself")
        if is_locked(file):
            raise ValueError(f"{name} is being fetched by another process; stop that first")
    return [file for file in files if file.exists() or file.is_symlink()]


def remove_files(removal: Removal) -> int:
    """Remove the files, then folders that became empty; return the bytes that became free."""
    freed = removal.size_bytes
    for file in removal.files:
        file.unlink(missing_ok=True)
    for file in removal.files:
        _remove_empty_folders(file.parent)
    return freed


def _remove_empty_folders(folder: Path) -> None:
    with contextlib.suppress(OSError):
        while folder != hub_folder() and folder.is_relative_to(hub_folder()):
            folder.rmdir()
            folder = folder.parent
