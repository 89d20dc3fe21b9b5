"""One process at a time at a file that is fetched, and what stopped ones leave behind."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from phonelm.progress import Progress


def lock_path(file: Path) -> Path:
    """The lock of a file: held while it is fetched."""
    return file.with_name(f".{file.name}.lock")


@contextlib.contextmanager
def file_lock(file: Path, progress: Progress) -> Iterator[None]:
    """Hold the lock of a file, after waiting for whoever holds it; the system frees it with the process."""
    import fcntl

    path = lock_path(file)
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = _locked(path, progress)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        fcntl.flock(descriptor, fcntl.LOCK_UN)
        os.close(descriptor)


@contextlib.contextmanager
def try_lock(file: Path) -> Iterator[bool]:
    """Hold the lock of a file if nobody does; yields whether that is so."""
    import fcntl

    path = lock_path(file)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        is_ours = _is_same(descriptor, path)
        yield is_ours
        if is_ours:
            path.unlink(missing_ok=True)
    finally:
        os.close(descriptor)


def is_locked(file: Path) -> bool:
    """Whether a living process is at a file."""
    import fcntl

    try:
        descriptor = os.open(lock_path(file), os.O_RDWR)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _locked(path: Path, progress: Progress) -> int:
    import fcntl

    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                progress.line(f"another process fetches {path.name[1:-5]}; waiting for it")
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            if _is_same(descriptor, path):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        # Its holder has removed it: whoever comes next makes a new one, and only that is a lock.
        os.close(descriptor)


def _is_same(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
