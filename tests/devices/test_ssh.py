"""Hosts behind ssh: a fake `ssh` and `scp` on the path run on this machine what they are given."""

from __future__ import annotations

import platform
from pathlib import Path

import pytest
from native_build import program_folder

from phonelm.devices import DeviceError, DeviceGoneError, open_device
from phonelm.profile import ProfileConfig, profile_device

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(platform.machine() != "x86_64", reason="needs a program of this machine"),
]


@pytest.fixture(scope="module")
def program() -> Path:
    return program_folder() / "phonelm-cli"


def test_profile_of_a_board(board: Path, program: Path, tiny_plan: ProfileConfig) -> None:
    with open_device("ssh:board", program) as device:
        profile = profile_device(tiny_plan, device=device)
        assert device.ask("embed vocab=64") == "error: embed needs hidden="
    with open_device() as here:
        assert profile.machine == here.machine()
        assert profile.kernels != here.kernels
    (installed,) = (board / ".cache/phonelm").iterdir()
    assert installed.read_bytes() == program.read_bytes()


def test_a_program_that_ends_is_a_device_that_is_gone(board: Path, program: Path) -> None:
    with open_device("ssh:board", program) as device:
        with pytest.raises(DeviceGoneError, match=r"after 1 answers \(phonelm-cli: a line .* longer"):
            device.ask("a" * 70_000)
        # The next question starts it again.
        assert float(device.ask("embed vocab=64 hidden=64 min_ms=0.1")) > 0


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("ssh:nowhere", r"ssh:nowhere cannot be reached \(ssh: Could not .*\); try: ssh nowhere true"),
        ("ssh:", "is none of: local, adb"),
        ("ssh:-oProxyCommand=true", "is no host"),
        ("usb:1", "is none of: local, adb"),
    ],
)
def test_what_is_not_there(board: Path, program: Path, name: str, problem: str) -> None:
    with pytest.raises(DeviceError, match=problem):
        open_device(name, program)


def test_nowhere_to_write(board: Path, program: Path) -> None:
    (board / ".cache").write_text("a file where a folder should be")
    with pytest.raises(DeviceError, match="ssh:board: mkdir"):
        open_device("ssh:board", program)


def test_this_machine_takes_no_program(program: Path) -> None:
    with pytest.raises(DeviceError, match="without one"):
        open_device("local", program)
