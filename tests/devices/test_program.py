from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from phonelm.devices import DeviceError
from phonelm.devices.program import find_program


def elf(machine: int) -> bytes:
    return b"\x7fELF\x02\x01" + bytes(12) + machine.to_bytes(2, "little") + bytes(44)


@pytest.fixture
def arm(tmp_path: Path) -> Path:
    path = tmp_path / "arm"
    path.write_bytes(elf(183))
    return path


def test_the_one_given_or_of_the_environment(arm: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = find_program("aarch64", arm)
    assert given.hash == hashlib.sha256(arm.read_bytes()).hexdigest()[:16]
    monkeypatch.setenv("PHONELM_CLI", str(arm))
    assert find_program("aarch64") == given


def test_what_is_no_program_for_the_device_is_refused(arm: Path, tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match=r"is for aarch64, and the device is x86_64; build one: make cli"):
        find_program("x86_64", arm)
    with pytest.raises(DeviceError, match=r"a 'mips' machine; PhoneLM has programs for aarch64 and x86_64"):
        find_program("mips", arm)
    for content in (b"", b"#!/bin/sh\n", elf(40), b"\x7fELF\x01" + elf(183)[5:]):
        (tmp_path / "other").write_bytes(content)
        with pytest.raises(DeviceError, match="is no program for 64-bit Linux"):
            find_program("aarch64", tmp_path / "other")
    with pytest.raises(FileNotFoundError):
        find_program("aarch64", tmp_path / "none")


def test_none_was_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PHONELM_CLI", raising=False)
    monkeypatch.setattr("phonelm.devices.program.__file__", str(tmp_path / "a/b/c/d.py"))
    with pytest.raises(DeviceError, match="build it with `make arm`"):
        find_program("aarch64")
