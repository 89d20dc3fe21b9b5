"""A device without Python: the static program is brought there once and asked through a pipe."""

from __future__ import annotations

import abc
import os
import shlex
import subprocess
from pathlib import Path

from phonelm.devices.connection import Device, DeviceError, DeviceGoneError
from phonelm.devices.machine import MachineInfo
from phonelm.devices.pipe import LinePipe, PipeClosedError
from phonelm.devices.program import Program, find_program

SHELL_S = 60.0
COPY_S = 1800.0
PROGRAM = "phonelm-cli"


class RemoteDevice(Device):
    """What adb and ssh have in common. Files lie in one folder, the program under its hash."""

    def __init__(self, name: str, program: Path | str | None) -> None:
        self.name = name
        self._pipe: LinePipe | None = None
        self._num_answers = 0
        found = find_program(self._architecture(), program)
        self.kernels = found.hash
        self.folder = self._folder()
        self.program = self._install(found)
        self._machine = MachineInfo.from_answer(self._first_answer())

    @abc.abstractmethod
    def _command(self, line: str) -> list[str]:
        """Return the command here that runs a line of shell there, with its input, output and exit code."""

    @abc.abstractmethod
    def _copy_command(self, source: Path, target: str) -> list[str]:
        """Return the command here that copies a file there."""

    @abc.abstractmethod
    def _architecture(self) -> str:
        """As `uname -m` says it. Raises `DeviceError` where the device cannot be reached."""

    @abc.abstractmethod
    def _folder(self) -> str:
        """Where the device lets us write and execute."""

    def _name_of_machine(self) -> str:
        """The device's name where it has a better one than its processor's."""
        return ""

    def machine(self) -> MachineInfo:
        """Describe the device."""
        name = self._name_of_machine()
        return self._machine.model_copy(update={"model": name}) if name else self._machine

    def ask(self, request: str) -> str:
        """Ask the program on the device."""
        self._pipe = self._pipe or LinePipe(self._command(f"exec {shlex.quote(self.program)} measure"))
        try:
            answer = self._pipe.ask(request)
        except PipeClosedError as closed:
            self.close()
            raise DeviceGoneError(
                f"{self.name} went away after {self._num_answers} answers{_because(str(closed))}; what it "
                "had measured is lost: connect it again, and run the same command again"
            ) from None
        self._num_answers += 1
        return answer

    def close(self) -> None:
        """End the program there."""
        if self._pipe:
            self._pipe.close()
        self._pipe = None

    def shell(self, line: str, seconds: float = SHELL_S) -> str:
        """Run a line of the device's shell and return what it prints. Raises `DeviceError`."""
        return self._run(self._command(line), seconds)

    def push(self, source: Path | str, name: str) -> str:
        """Copy a file into our folder there and return its path; whole or not at all."""
        target = f"{self.folder}/{name}"
        part = f"{target}.{os.getpid()}"
        try:
            self._run(self._copy_command(Path(source), part), COPY_S)
            self.shell(f"mv {shlex.quote(part)} {shlex.quote(target)}")
        except DeviceError:
            self.remove(part)
            raise
        return target

    def remove(self, path: str) -> None:
        """Delete a file there; nothing where it is gone, or the device is."""
        try:
            self.shell(f"rm -f {shlex.quote(path)}")
        except DeviceError:
            return

    def run(self, *words: object, seconds: float = COPY_S) -> str:
        """Run the program there and return what it prints. Raises `DeviceError` with what it refused."""
        return self.shell(shlex.join([self.program, *map(str, words)]), seconds)

    def _install(self, program: Program) -> str:
        """Bring the program there, unless it is; others of before go."""
        folder = shlex.quote(self.folder)
        path = f"{self.folder}/{PROGRAM}-{program.hash}"
        there = self.shell(f"mkdir -p {folder} && if [ -x {shlex.quote(path)} ]; then echo there; fi")
        if there.strip() != "there":
            self.shell(f"rm -f {folder}/{PROGRAM}-*")
            self.push(program.path, path.rpartition("/")[2])
            self.shell(f"chmod 755 {shlex.quote(path)}")
        return path

    def _first_answer(self) -> str:
        try:
            answer = self.ask("machine")
        except DeviceGoneError:
            # Once more for its exit code and last words.
            said = self.run("--version")
            raise DeviceError(f"{self.name}: {self.program} says {said!r} and does not measure") from None
        if not answer.startswith("{"):
            raise DeviceError(f"{self.name}: {self.program} does not measure ({answer}); name another one")
        return answer

    def _run(self, command: list[str], seconds: float) -> str:
        try:
            run = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=seconds,
                start_new_session=True,
            )
        except subprocess.TimeoutExpired:
            raise DeviceGoneError(f"{self.name} gives no answer; connect it again and run again") from None
        said = (run.stderr or run.stdout).decode(errors="replace")
        if run.returncode != 0:
            raise self._explained(" ".join(said.split()), run.returncode)
        return run.stdout.decode(errors="replace")

    def _explained(self, said: str, code: int) -> DeviceError:
        """What a command that failed has said, with the next step."""
        if "No space left" in said:
            return DeviceError(f"{self.name} has no space left in {self.folder}; free some and run again")
        if code == 137:
            return DeviceError(f"{self.name} ended the program, as a system without memory does; free some")
        if code in (126, 127) or code in range(129, 192):
            return DeviceError(
                f"{self.name} cannot run our program ({said or f'exit code {code}'}); try another: --program"
            )
        return DeviceError(f"{self.name}: {said or f'exit code {code}'}")


def _because(said: str) -> str:
    return f" ({said})" if said else ""
