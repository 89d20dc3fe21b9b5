"""What a long work needs, checked before it begins: packages, and places that can be written to."""

from __future__ import annotations

import errno
import importlib.util
import os
import shutil
from pathlib import Path

from phonelm.files import cache_folder, follow_links, is_stream, nearest_existing
from phonelm.words import sized

TRAINING = ("torch", "transformers", "tokenizers", "safetensors")
"""What training imports."""
PICTURES = ("matplotlib",)
"""What a page with figures imports."""


def require_packages(*names: str) -> None:
    """Raise `ModuleNotFoundError` for the first of the packages that is not installed; imports none."""
    for name in names:
        if importlib.util.find_spec(name) is None:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def require_writable(*paths: Path | str) -> None:
    """Raise `OSError` where a file or folder at one of the paths could not be made; makes nothing."""
    for path in paths:
        _require_writable(Path(path))


def require_cache() -> None:
    """Raise `OSError` where the cache folder cannot be written to."""
    require_writable(cache_folder() / "profiles")


def require_room(path: Path | str, num_bytes: int) -> None:
    """Raise `OSError` where the disk of a file or folder to be made has less free."""
    place = nearest_existing(follow_links(Path(path)))
    free = shutil.disk_usage(place).free
    if free < num_bytes:
        raise OSError(
            f"{path} needs {sized(num_bytes)} of disk, and {place} has {sized(free)} left; free some space, "
            "or name a folder on another disk"
        )


def _require_writable(path: Path) -> None:
    target = follow_links(path)
    if target.is_dir() or is_stream(target):
        folder = target
    else:
        folder = nearest_existing(target.parent)
        if not folder.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path))
    needed = os.W_OK if is_stream(folder) else os.W_OK | os.X_OK
    if not os.access(folder, needed):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
