"""What fetches that were stopped have left in the cache folder: found, measured, removed."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from phonelm.engine.hub.kept import hub_folder
from phonelm.engine.hub.locks import is_locked, try_lock
from phonelm.files import cache_folder

_BEGINNING = re.compile(r"\.(?P<name>.+\.gguf)\.(?:[0-9a-f]{16}\.part|\d+-\d+\.pieces)", re.IGNORECASE)
_ABANDONED = re.compile(
    r"\.(?P<name>.+\.gguf)\.(?:lock|\d+\.tmp|json\.\d+\.tmp|pull-.*)|\.pull-.*", re.IGNORECASE
)


@dataclass(frozen=True)
class Leftover:
    """A file or folder that a fetch left; `is_beginning` for bytes that the same fetch would go on from."""

    path: Path
    size_bytes: int
    is_beginning: bool
    owner: Path | None
    """The file whose lock a process at work would hold."""


def leftovers() -> list[Leftover]:
    """Return what no living process works at, in the folders of models."""
    folders = (cache_folder() / "models", hub_folder())
    return [found for folder in folders for found in _in(folder)]


def beginnings_of(file: Path) -> list[Path]:
    """Return what came of a file, of any content, before its fetch was stopped."""
    found = [(path, _BEGINNING.fullmatch(path.name)) for path in _entries(file.parent)]
    return [path for path, match in found if match and match["name"] == file.name]


def remove_abandoned() -> int:
    """Remove what nothing will ever go on from, and return its bytes; beginnings stay."""
    return sum(remove(found) for found in leftovers() if not found.is_beginning)


def remove(found: Leftover) -> int:
    """Remove a leftover, a link itself and not what it leads to; return the bytes that are free now."""
    if found.owner is None:
        return _remove(found)
    with try_lock(found.owner) as is_ours:
        return _remove(found) if is_ours else 0


def _remove(found: Leftover) -> int:
    if found.path.is_dir() and not found.path.is_symlink():
        shutil.rmtree(found.path, ignore_errors=True)
    else:
        found.path.unlink(missing_ok=True)
    return found.size_bytes


def _in(folder: Path) -> Iterator[Leftover]:
    for parent, folders, names in os.walk(folder):
        for name in [*folders, *names]:
            beginning = _BEGINNING.fullmatch(name)
            found = beginning or _ABANDONED.fullmatch(name)
            if not found:
                continue
            owner = Path(parent, found["name"]) if found["name"] else None
            if owner and is_locked(owner):
                continue
            if name in folders:
                folders.remove(name)
            yield Leftover(Path(parent, name), _num_bytes(Path(parent, name)), beginning is not None, owner)


def _entries(folder: Path) -> list[Path]:
    return list(folder.iterdir()) if folder.is_dir() else []


def _num_bytes(path: Path) -> int:
    below = (Path(parent, name) for parent, _, names in os.walk(path) for name in names)
    return (0 if path.is_dir() else path.lstat().st_size) + sum(file.lstat().st_size for file in below)
