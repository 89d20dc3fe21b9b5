"""Documents from where the user says: the standard library, files, folders, Hugging Face datasets."""

from __future__ import annotations

import hashlib
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from phonelm.data.config import STDLIB
from phonelm.data.files import READERS, SUFFIXES, document_of, is_supported, read_documents
from phonelm.preconditions import require_packages

_NOT_TEXT = frozenset(
    {"site-packages", "dist-packages", "__pycache__", "test", "tests", "idle_test", "encodings"}
)
"""Folders of the standard library that are left out: other packages, tests, and tables of characters."""


def documents(source: str) -> Iterator[str]:
    """Yield the texts of a source, in an order that is the same each time.

    Files of a folder come in the order of the hash of their names, so that a beginning is a fair sample.
    Raises `ValueError` naming the source or file that is missing, unknown or damaged.
    """
    if source == STDLIB:
        yield from _stdlib_documents()
    elif source.startswith("hf:"):
        for row, place in hub_rows(source):
            yield document_of(row, place)
    else:
        for path in source_files(source):
            yield from read_documents(path)


def source_files(source: str) -> list[Path]:
    """The files a source reads, in reading order; none for `hf:`."""
    if source.startswith("hf:"):
        return []
    if source == STDLIB:
        return _stdlib_files()
    path = Path(source).expanduser()
    if path.is_dir():
        found = _shuffled([file for file in path.rglob("*") if is_supported(file) and file.is_file()], path)
        if not found:
            raise ValueError(f"folder {source} has no text files; supported are {' '.join(SUFFIXES)}")
        return found
    if not path.exists():
        raise ValueError(f"data source {source} does not exist; name a file, a folder, hf:NAME or {STDLIB}")
    if not is_supported(path):
        raise ValueError(f"file {source} is of an unknown kind; supported are {' '.join(SUFFIXES)}")
    return [path]


def source_bytes(sources: Sequence[str]) -> int:
    """Bytes of all files of some sources, as they lie on the disk; those of `hf:` are not counted."""
    return sum(path.stat().st_size for source in sources for path in source_files(source))


def require_sources(sources: Sequence[str]) -> None:
    """Raise `ValueError` for a source that is not there, `ModuleNotFoundError` where its reader is missing.

    `hf:` is not looked for.
    """
    require_packages("tokenizers")
    for source in sources:
        if source.startswith("hf:"):
            require_packages("datasets")
        names = [path.name.lower() for path in source_files(source)]
        for suffix, package in READERS.items():
            if any(name.endswith(suffix) for name in names):
                require_packages(package)


def source_identity(source: str) -> list[Any]:
    """What changes when the documents of a source change: names, sizes and times of its files."""
    if source == STDLIB:
        return [source, sys.version]
    stats = [(str(path), path.stat()) for path in source_files(source)]
    return [source, [(name, stat.st_size, stat.st_mtime_ns) for name, stat in stats]]


def _shuffled(paths: list[Path], root: Path) -> list[Path]:
    def key(path: Path) -> tuple[bytes, str]:
        name = path.relative_to(root).as_posix()
        return hashlib.sha256(name.encode()).digest(), name

    return sorted(paths, key=key)


def _stdlib_files() -> list[Path]:
    root = Path(sysconfig.get_path("stdlib"))
    kept = [
        path
        for path in root.rglob("*")
        if path.suffix in (".py", ".txt", ".rst", ".md")
        and not _NOT_TEXT.intersection(path.parts[len(root.parts) :])
    ]
    if not kept:
        raise ValueError(f"no standard library sources in {root}; name another data source, such as a folder")
    return _shuffled(kept, root)


def _stdlib_documents() -> Iterator[str]:
    from pydoc_data.topics import topics

    yield from (topics[name] for name in sorted(topics))
    for path in _stdlib_files():
        # The topics are above, as the text they are.
        if path.parent.name == "pydoc_data":
            continue
        try:
            yield path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue


def hub_rows(source: str) -> Iterator[tuple[Any, str]]:
    """Yield the rows of `hf:NAME` or `hf:NAME:CONFIGURATION` as they come, with words for their place.

    Raises `ValueError` where the dataset cannot be opened.
    """
    from datasets import load_dataset

    name, _, configuration = source.removeprefix("hf:").partition(":")
    try:
        rows = load_dataset(name, configuration or None, split="train", streaming=True)
    except (ValueError, FileNotFoundError, ConnectionError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(
            f"dataset {source} cannot be opened ({reason}); check its name and the connection"
        ) from error
    for number, row in enumerate(rows):
        yield row, f"{source} row {number + 1}"
