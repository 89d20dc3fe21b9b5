"""Boards and other Linux machines, through the programs `ssh` and `scp`."""

from __future__ import annotations

import shutil
from pathlib import Path

from phonelm.devices.connection import DeviceError, DeviceGoneError
from phonelm.devices.remote import RemoteDevice

# Never ask for a password: nobody may be there to answer. Notice within half a minute that the host is gone.
_OPTIONS = ("-o", "BatchMode=yes", "-o", "ConnectTimeout=15", "-o", "ServerAliveInterval=10")
_SSH_FAILED = 255
"""Of ssh itself; what runs there gives its own exit codes."""


class SshDevice(RemoteDevice):
    """A host as ssh names it (a name of its configuration, or user@host)."""

    def __init__(self, host: str, program: Path | str | None = None) -> None:
        if host.startswith("-") or not host:
            raise DeviceError(f"{host!r} is no host; give ssh:HOST")
        for needed in ("ssh", "scp"):
            if shutil.which(needed) is None:
                raise DeviceError(f"{needed} is not installed; install OpenSSH's client, and run again")
        self.host = host
        super().__init__(f"ssh:{host}", program)

    def _command(self, line: str) -> list[str]:
        return ["ssh", "-T", *_OPTIONS, self.host, line]

    def _copy_command(self, source: Path, target: str) -> list[str]:
        return ["scp", "-q", *_OPTIONS, str(source.absolute()), f"{self.host}:{target}"]

    def _architecture(self) -> str:
        system, machine = self.shell("uname -s -m").split()
        if system != "Linux":
            raise DeviceError(f"{self.name} runs {system}; the program needs Linux")
        return {"arm64": "aarch64", "amd64": "x86_64"}.get(machine, machine)

    def _folder(self) -> str:
        return self.shell('echo "${XDG_CACHE_HOME:-$HOME/.cache}/phonelm"').strip()

    def _name_of_machine(self) -> str:
        """The board's name, which Arm's processors do not tell."""
        return self.shell("tr -d '\\0' 2>/dev/null < /proc/device-tree/model || true").strip()

    def _explained(self, said: str, code: int) -> DeviceError:
        if code != _SSH_FAILED:
            return super()._explained(said, code)
        if "Permission denied" in said:
            return DeviceError(
                f"{self.name} lets us in only with a key ({said}); try: ssh-copy-id {self.host}"
            )
        return DeviceGoneError(f"{self.name} cannot be reached ({said}); try: ssh {self.host} true")
