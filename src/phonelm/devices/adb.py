"""Android phones, through the program `adb`."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from phonelm.devices.connection import DeviceError, DeviceGoneError
from phonelm.devices.remote import SHELL_S, RemoteDevice

FOLDER = "/data/local/tmp/phonelm"
"""Below the one folder where `adb shell` may both write and execute."""
# Of Android's names.
_ABIS = {"arm64-v8a": "aarch64", "x86_64": "x86_64"}
_NAMES = ("ro.product.manufacturer", "ro.product.model", "ro.soc.model", "ro.board.platform")
_ADVICE = {
    "unauthorized": "unlock it, allow USB debugging for this computer, and run again",
    "authorizing": "allow USB debugging for this computer on its screen, and run again",
    "offline": "unplug it and plug it in again (or: adb reconnect), and run again",
    "no permissions": "add yourself to the group plugdev (udev rules), and run again",
}
_GONE = ("not found", "no devices", "offline", "closed", "protocol fault", "connection reset")


class AdbDevice(RemoteDevice):
    """The phone of a serial number; the only one where `serial` is empty."""

    def __init__(self, serial: str = "", program: Path | str | None = None) -> None:
        self._adb = _adb_program()
        self.serial = _choose(serial, _devices(self._adb))
        super().__init__(f"adb:{self.serial}", program)

    def _command(self, line: str) -> list[str]:
        # Without a terminal between, which would echo the requests.
        return [self._adb, "-s", self.serial, "shell", "-T", line]

    def _copy_command(self, source: Path, target: str) -> list[str]:
        return [self._adb, "-s", self.serial, "push", str(source), target]

    def _architecture(self) -> str:
        (abi,) = self._properties("ro.product.cpu.abi")
        return _ABIS.get(abi, abi)

    def _folder(self) -> str:
        return FOLDER

    def _name_of_machine(self) -> str:
        """Maker, model and chip: /proc/cpuinfo names only the parts of the processor."""
        maker, model, chip, platform = self._properties(*_NAMES)
        chip = chip or platform
        name = model if model.lower().startswith(maker.lower()) else f"{maker} {model}"
        return (f"{name} ({chip})" if chip else name).strip()

    def _properties(self, *names: str) -> list[str]:
        """Values in order, empty where the phone has none."""
        lines = self.shell("; ".join(f"getprop {name}" for name in names)).split("\n")
        return [line.strip() for line in lines[: len(names)]]

    def _explained(self, said: str, code: int) -> DeviceError:
        if said == "error: closed" or ("device" in said and any(word in said.lower() for word in _GONE)):
            return DeviceGoneError(f"{self.name} is gone ({said}); connect it again and run again")
        if "PTY" in said:
            return DeviceError(f"{self.name} has an adb of before Android 7 ({said}); take a newer phone")
        return super()._explained(said, code)


def _adb_program() -> str:
    if (found := shutil.which("adb")) is None:
        raise DeviceError(
            "adb is not installed or not in PATH; install Android's platform tools "
            "(Debian: apt-get install adb), and run again"
        )
    return found


def _devices(adb: str) -> dict[str, str]:
    """State by serial number of what adb knows."""
    try:
        run = subprocess.run(
            [adb, "devices"], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=SHELL_S
        )
    except subprocess.TimeoutExpired:
        raise DeviceError("adb devices gives no answer; try: adb kill-server") from None
    if run.returncode != 0:
        raise DeviceError(f"adb devices fails: {' '.join(run.stderr.split())}; try: adb kill-server")
    lines = (line.split("\t", 1) for line in run.stdout.splitlines() if "\t" in line)
    return {serial: state.strip() for serial, state in lines}


def _choose(serial: str, devices: dict[str, str]) -> str:
    there = ", ".join(f"{name} ({state})" for name, state in devices.items()) or "none"
    if not serial and len(devices) != 1:
        step = "name one, as adb:SERIAL" if devices else "connect one with USB debugging on"
        raise DeviceError(f"adb has not exactly one device (there: {there}); {step}")
    serial = serial or next(iter(devices))
    if serial not in devices:
        raise DeviceError(
            f"adb has no device {serial} (there: {there}); connect it with USB debugging on, or name another"
        )
    state = devices[serial]
    if state != "device":
        advice = next((step for name, step in _ADVICE.items() if state.startswith(name)), "start it normally")
        raise DeviceError(f"adb:{serial} is {state}; {advice}")
    return serial
