"""The static `phonelm-cli` that is brought to a device."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from phonelm.devices.connection import DeviceError

# e_machine of an ELF header (elf.h of Linux), under the names of `uname -m`.
_MACHINES = {62: "x86_64", 183: "aarch64"}
_BUILDS = {"aarch64": "arm", "x86_64": "program"}
_TARGETS = {"aarch64": "make arm", "x86_64": "make cli"}


@dataclass(frozen=True)
class Program:
    """A program file and what it is for."""

    path: Path
    machine: str
    """As `uname -m` says it."""
    hash: str


def find_program(machine: str, given: Path | str | None = None) -> Program:
    """Return the program for a machine: the one given, that of PHONELM_CLI, or that of the source tree.

    Raises `DeviceError` where there is none, or it is for another machine.
    """
    if machine not in _BUILDS:
        raise DeviceError(
            f"the device is a {machine!r} machine; PhoneLM has programs for {' and '.join(_BUILDS)}"
        )
    named = given or os.environ.get("PHONELM_CLI")
    path = Path(named) if named else _built(machine)
    program = _read(path)
    if program.machine != machine:
        raise DeviceError(
            f"{path} is for {program.machine}, and the device is {machine}; build one: {_TARGETS[machine]}"
        )
    return program


def _built(machine: str) -> Path:
    path = Path(__file__).parents[3] / "build" / _BUILDS[machine] / "phonelm-cli"
    if not path.is_file():
        raise DeviceError(
            f"there is no phonelm-cli for {machine} here; build it with `{_TARGETS[machine]}` in PhoneLM's "
            "source, or name one by --program or PHONELM_CLI"
        )
    return path


def _read(path: Path) -> Program:
    content = path.read_bytes()
    kind = _MACHINES.get(int.from_bytes(content[18:20], "little"))
    if content[:6] != b"\x7fELF\x02\x01" or kind is None:
        raise DeviceError(f"{path} is no program for 64-bit Linux; build one with `make arm`")
    return Program(path, kind, hashlib.sha256(content).hexdigest()[:16])
