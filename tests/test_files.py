"""Outputs appear whole or not at all, and what is no plain file stays what it is."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from phonelm.files import atomic_path, is_stream, remove_leftovers, write_json, write_text


def test_a_link_stays_and_its_file_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "real").write_text("old")
    for name, target in (("near", "kept/real"), ("far", tmp_path / "kept" / "real"), ("twice", "near")):
        (tmp_path / name).symlink_to(target)
        write_text(tmp_path / name, name)
        assert (tmp_path / name).is_symlink()
        assert (tmp_path / "kept" / "real").read_text() == name
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["far", "kept", "near", "real", "twice"]


def test_a_link_to_nothing_yet_is_followed(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("new/real")
    write_json(tmp_path / "link", {"a": 1})
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "new" / "real").is_file()


def test_links_in_a_circle_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(OSError, match="symbolic links"):
        write_text(tmp_path / "a", "x")
    assert (tmp_path / "a").is_symlink()


def test_a_link_to_a_folder_stays(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "old").touch()
    (tmp_path / "link").symlink_to("real")
    with atomic_path(tmp_path / "link") as staging:
        staging.mkdir()
        (staging / "new").touch()
    assert (tmp_path / "link").is_symlink()
    assert [path.name for path in (tmp_path / "real").iterdir()] == ["new"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "real"]


def test_a_pipe_gets_the_bytes(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with subprocess.Popen(["cat", pipe], stdout=subprocess.PIPE) as reader:
        write_text(pipe, "text")
        assert reader.communicate(timeout=20)[0] == b"text"
    assert stat.S_ISFIFO(pipe.lstat().st_mode)
    assert list(tmp_path.iterdir()) == [pipe]


def test_a_device_takes_the_bytes(tmp_path: Path) -> None:
    # Through a link, so that a mistake costs no device.
    (tmp_path / "null").symlink_to(os.devnull)
    write_text(tmp_path / "null", "text")
    assert (tmp_path / "null").is_symlink()
    assert stat.S_ISCHR(Path(os.devnull).stat().st_mode)
    assert is_stream(tmp_path / "null")


def test_a_failure_writes_nothing_into_a_pipe(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)

    def fail() -> None:
        with atomic_path(pipe) as temporary:
            temporary.write_text("half")
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        fail()
    with pytest.raises(NotADirectoryError), atomic_path(pipe) as temporary:
        temporary.mkdir()
    assert stat.S_ISFIFO(pipe.lstat().st_mode)


@pytest.mark.skipif(sys.platform != "linux", reason="names of open files")
def test_an_open_file_is_not_replaced(tmp_path: Path) -> None:
    with (tmp_path / "out").open("w") as file:
        with pytest.raises(ValueError, match=r"is the open file .*; give another path"):
            write_text(f"/proc/self/fd/{file.fileno()}", "x")
        file.write("mine")
    assert (tmp_path / "out").read_text() == "mine"


def test_errors_name_the_path_that_was_given(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(IsADirectoryError) as caught:
        write_text(tmp_path / "folder", "x")
    assert caught.value.filename == str(tmp_path / "folder")
    assert ".tmp" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_leftovers_go_from_where_a_link_leads(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "link").symlink_to("kept/real")
    dead = subprocess.Popen(["true"])
    dead.wait()
    for process in (dead.pid, os.getpid()):
        (tmp_path / "kept" / f".real.{process}.tmp").touch()
    remove_leftovers(tmp_path / "link")
    assert [path.name for path in (tmp_path / "kept").iterdir()] == [f".real.{os.getpid()}.tmp"]
