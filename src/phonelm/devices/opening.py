"""From the name of a device to a connection."""

from __future__ import annotations

from pathlib import Path

from phonelm.devices.adb import AdbDevice
from phonelm.devices.connection import Device, DeviceError, LocalDevice
from phonelm.devices.ssh import SshDevice


def open_device(name: str = "local", program: Path | str | None = None) -> Device:
    """Connect to `local`, `adb` (the only phone that is connected), `adb:SERIAL` or `ssh:HOST`.

    `program` is a static `phonelm-cli` for the device (see `program.find_program`).
    Raises `DeviceError` for a device that is not there or cannot run the program.
    """
    kind, _, which = name.partition(":")
    if kind == "adb":
        return AdbDevice(which, program)
    if kind == "ssh" and which:
        return SshDevice(which, program)
    if name != "local":
        raise DeviceError(f"device {name!r} is none of: local, adb, adb:SERIAL, ssh:HOST")
    if program is not None:
        raise DeviceError("a program is for a device behind adb or ssh; this machine is measured without one")
    return LocalDevice()
