from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from phonelm.preconditions import require_cache, require_packages, require_room, require_writable


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    require_packages("json", "pydantic")
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ModuleNotFoundError) as caught:
        require_packages("json", "matplotlib")
    assert caught.value.name == "matplotlib"


def test_a_place_that_can_be_made_is_let_through_and_not_made(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "there")
    require_writable(tmp_path, tmp_path / "a" / "b" / "c.json", tmp_path / "link", "/dev/null")
    assert [path.name for path in tmp_path.iterdir()] == ["link"]


def test_a_place_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError) as caught:
        require_writable(tmp_path / "file" / "new" / "design.json")
    assert caught.value.filename == str(tmp_path / "file" / "new" / "design.json")


def test_a_folder_without_rights_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Root may write anywhere: what the system would answer to another user is answered here.
    real = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != tmp_path and real(path, mode))
    with pytest.raises(PermissionError) as caught:
        require_writable(tmp_path / "design.json")
    assert caught.value.filename == str(tmp_path / "design.json")
    monkeypatch.setenv("PHONELM_CACHE", str(tmp_path / "cache"))
    with pytest.raises(PermissionError, match="cache"):
        require_cache()


def test_room_is_that_of_the_disk_that_will_be_written_to(tmp_path: Path) -> None:
    require_room(tmp_path / "a" / "b", 1)
    with pytest.raises(OSError, match=rf"b needs .* of disk, and {tmp_path} has"):
        require_room(tmp_path / "a" / "b", 1 << 60)
