"""Files that appear whole or not at all, and the record of how each was made."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import platform
import re
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from phonelm.version import package_version

_MAX_LINKS = 40
"""As many as Linux follows."""


@contextlib.contextmanager
def atomic_path(path: Path | str) -> Iterator[Path]:
    """Yield a temporary path; what is written there is at `path` on success and vanishes on failure.

    Works for a file and for a folder (a folder that stands at `path` is replaced). Links stay, and what they
    lead to is replaced. A device or a named pipe stays what it is: the bytes go into it when all are there.
    Raises `OSError` as the writes do (no permission, disk full), `ValueError` for what cannot be written to.
    """
    target = follow_links(Path(path))
    if is_stream(target):
        with _into_stream(target) as temporary:
            yield temporary
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        with _errors_naming(path, temporary):
            yield temporary
            _put(temporary, target)
    finally:
        if temporary.is_dir():
            shutil.rmtree(temporary, ignore_errors=True)
        else:
            temporary.unlink(missing_ok=True)


def follow_links(path: Path) -> Path:
    """Return what stands at the end of a path's links; it need not exist.

    Raises `OSError` for links in a circle, `ValueError` for a link to a file that is open (`/dev/stdout` of a
    redirected command): a new file in its place would not be seen by those who hold the old one.
    """
    for _ in range(_MAX_LINKS):
        if is_stream(path) or not path.is_symlink():
            return path
        if re.fullmatch(r"/proc/.+/fd", str(path.parent.resolve())):
            raise ValueError(f"{path} is the open file {path.readlink()}; give another path")
        path = path.parent / path.readlink()
    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))


def is_stream(path: Path) -> bool:
    """Whether a path leads to what is neither file nor folder: a device, a named pipe, a socket."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)


def nearest_existing(path: Path) -> Path:
    """Return a path, or else the first folder above it that is there."""
    while not path.exists() and path != path.parent:
        path = path.parent
    return path


def check_writable(path: Path | str) -> None:
    """Raise `ValueError` or `PermissionError` where no file can be written, before it is made."""
    target = follow_links(Path(path))
    if target.is_dir():
        raise ValueError(f"{path} is a folder; name a file in it")
    place = target if is_stream(target) else nearest_existing(target.parent)
    if not is_stream(place) and not place.is_dir():
        raise ValueError(f"{place} is a file, so that {path} cannot be in it; name another place")
    if not os.access(place, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))


@contextlib.contextmanager
def _into_stream(target: Path) -> Iterator[Path]:
    mode = target.stat().st_mode
    if not stat.S_ISCHR(mode) and not stat.S_ISFIFO(mode):
        raise ValueError(f"{target} is a disk or a socket; give the path of a file")
    with temporary_folder() as folder:
        temporary = Path(folder) / target.name
        yield temporary
        if temporary.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(target))
        with temporary.open("rb") as source, target.open("wb") as out:
            shutil.copyfileobj(source, out)


@contextlib.contextmanager
def _errors_naming(path: Path | str, temporary: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if str(error.filename).startswith(str(temporary)):
            error.filename, error.filename2 = str(path), None
        raise


def _put(temporary: Path, target: Path) -> None:
    if target.is_dir() and temporary.is_dir():
        old = target.with_name(f".{target.name}.{os.getpid()}.old")
        target.rename(old)
        temporary.rename(target)
        shutil.rmtree(old)
    else:
        temporary.replace(target)


def remove_leftovers(path: Path | str) -> None:
    """Remove what `atomic_path` left beside `path` when its process was killed; a living one's is kept."""
    path = follow_links(Path(path))
    for leftover in path.parent.glob(f".{path.name}.*.*"):
        owner, kind = leftover.name.removeprefix(f".{path.name}.").split(".", 1)
        if kind not in ("tmp", "old") or not owner.isdigit() or _is_alive(int(owner)):
            continue
        if leftover.is_dir():
            shutil.rmtree(leftover, ignore_errors=True)
        else:
            leftover.unlink(missing_ok=True)


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def write_text(path: Path | str, text: str) -> None:
    """Write a whole text file or nothing."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path | str, document: Any) -> None:
    """Write one indented JSON document or nothing."""
    write_text(path, json.dumps(document, indent=2, ensure_ascii=False) + "\n")


def read_json(path: Path | str) -> Any:
    """Read a JSON document; `ValueError` says which file is broken."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not valid JSON ({error}); delete it to have it made again") from error


def fingerprint(document: Any) -> str:
    """Short stable hash of a JSON-able document (16 hexadecimal digits)."""
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def file_hash(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal digits."""
    hasher = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            hasher.update(chunk)
    return hasher.hexdigest()


def file_states(folder: Path) -> list[tuple[str, int, int]]:
    """Name, bytes and time of change (ns) of each file in a folder: what a copy made from it depends on."""
    paths = sorted(path for path in folder.iterdir() if path.is_file())
    return [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in paths]


def cache_folder() -> Path:
    """Folder for what can be fetched or measured again: `PHONELM_CACHE`, else the XDG cache folder."""
    if explicit := os.environ.get("PHONELM_CACHE"):
        return Path(explicit)
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "phonelm"


def provenance(*, config: Any = None, seed: int | None = None, wall_s: float | None = None) -> dict[str, Any]:
    """How an artefact was made: version, machine, time, resolved configuration, seed, seconds it took."""

    return {
        "phonelm": package_version(),
        "python": platform.python_version(),
        "machine": {"system": platform.system(), "arch": platform.machine(), "cores": os.cpu_count()},
        "made_at": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "config": config,
        "seed": seed,
        "wall_s": wall_s,
    }


def temporary_folder() -> tempfile.TemporaryDirectory[str]:
    """A folder that vanishes when closed, for measurements that need a file."""
    return tempfile.TemporaryDirectory(prefix="phonelm-")
