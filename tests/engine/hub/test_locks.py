"""Locks and leftovers: what a living process works at is left alone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from phonelm.engine.hub.leftovers import leftovers, remove, remove_abandoned
from phonelm.engine.hub.locks import file_lock, is_locked, lock_path, try_lock
from phonelm.progress import Progress

PART = f".a.gguf.{'0' * 16}.part"


HOLD_AND_DIE = """
import os, pathlib, sys
from phonelm.engine.hub.locks import file_lock
from phonelm.progress import Progress

with file_lock(pathlib.Path(sys.argv[1]), Progress()):
    os._exit(0)
"""


def test_a_lock_ends_with_its_process(cache: Path) -> None:
    file = cache / "models" / "a.gguf"
    subprocess.run([sys.executable, "-c", HOLD_AND_DIE, file], check=True)
    assert lock_path(file).exists()
    assert not is_locked(file)
    with file_lock(file, Progress()):
        assert is_locked(file)
        with try_lock(file) as is_ours:
            assert not is_ours
    assert not lock_path(file).exists()


def test_what_is_being_fetched_is_no_leftover(cache: Path) -> None:
    folder = cache / "models"
    folder.mkdir(parents=True)
    (folder / PART).write_bytes(b"beginning")
    (folder / ".a.gguf.pull-xyz").mkdir()
    (folder / ".a.gguf.pull-xyz" / "a.whl").write_bytes(bytes(100))
    found = leftovers()
    assert sum(one.size_bytes for one in found) == 109
    with file_lock(folder / "a.gguf", Progress()):
        assert leftovers() == []
        # Found before the lock was taken.
        assert [remove(one) for one in found] == [0, 0]
        assert remove_abandoned() == 0
    assert remove_abandoned() == 100
    assert [path.name for path in folder.iterdir()] == [PART]


def test_a_link_is_removed_and_not_what_it_leads_to(cache: Path, tmp_path: Path) -> None:
    folder = cache / "models"
    folder.mkdir(parents=True)
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_bytes(b"kept")
    (folder / ".pull-link").symlink_to(outside)
    (folder / PART).symlink_to(outside / "kept")
    for one in leftovers():
        remove(one)
    assert list(folder.iterdir()) == []
    assert (outside / "kept").read_bytes() == b"kept"
