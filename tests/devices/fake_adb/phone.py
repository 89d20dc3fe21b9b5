"""A phone for the real `adb` program: its files are a folder, its processor an emulator.

What is pushed and is a program of 64-bit Arm becomes a script that runs it by qemu-aarch64.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import shlex
import socket
import threading
from dataclasses import dataclass, field
from pathlib import Path

from services import serve_shell, serve_sync
from transport import Stream, Transport

BANNER = "device::ro.product.name=fake;ro.product.model=Fake;ro.product.device=fake;features=shell_v2,cmd"
PROPERTIES = {
    "ro.product.cpu.abi": "arm64-v8a",
    "ro.product.manufacturer": "Maker",
    "ro.product.model": "Model 9",
    "ro.soc.model": "SoC 7",
}
WRITABLE = "/data/local/tmp"


@dataclass
class FakePhone:
    """Listens on a port of this machine from `start` to `unplug`."""

    folder: Path
    emulator: list[str]
    properties: dict[str, str] = field(default_factory=lambda: dict(PROPERTIES))
    authorized: bool = True
    is_full: bool = False
    unplugs_after: int | None = None
    """Answers of a program that measures."""
    pushed: list[str] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)

    def start(self) -> str:
        """Begin to listen; returns what `adb connect` takes and the phone's serial number is then."""
        self._programs = itertools.count()
        (self.folder / "bin").mkdir(parents=True)
        (self.folder / "data/local/tmp").mkdir(parents=True)
        self._write_getprop()
        self._transports: list[Transport] = []
        self._server = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._listen, daemon=True).start()
        return f"127.0.0.1:{self._server.getsockname()[1]}"

    def unplug(self) -> None:
        """Break all connections and take no more; may be called twice."""
        with contextlib.suppress(OSError):
            # What waits in accept() does not notice that its socket is closed.
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        for transport in self._transports:
            with contextlib.suppress(OSError):
                transport.close()

    def _listen(self) -> None:
        try:
            while True:
                connection, _ = self._server.accept()
                transport = Transport(connection, BANNER, self.authorized)
                self._transports.append(transport)
                threading.Thread(target=transport.serve, args=(self._serve,), daemon=True).start()
        except OSError:
            return

    def _serve(self, service: str, stream: Stream) -> None:
        kind, _, rest = service.partition(":")
        try:
            if kind == "sync":
                serve_sync(stream, self._place, self._store)
                stream.close()
            elif kind.startswith("shell,v2,"):
                self.lines.append(rest)
                serve_shell(stream, self._shell(rest), self._unplug_in_time if "measure" in rest else _ignore)
            else:
                stream.close()
        except OSError:
            return

    def _place(self, path: str) -> Path:
        return self.folder / path.lstrip("/")

    def _shell(self, line: str) -> list[str]:
        path = shlex.quote(f"{self.folder / 'bin'}:{os.environ['PATH']}")
        here = line.replace(WRITABLE, str(self._place(WRITABLE)))
        return ["/bin/sh", "-c", f"PATH={path}; {here}"]

    def _store(self, path: Path, content: bytes, mode: int) -> str:
        """Keep a pushed file; returns what is wrong."""
        if self.is_full:
            return "couldn't write file: No space left on device"
        if not path.parent.is_dir():
            return "couldn't create file: No such file or directory"
        self.pushed.append(path.name)
        if content[:4] == b"\x7fELF" and content[18:20] == b"\xb7\0":
            program = self.folder / "bin" / f"program-{next(self._programs)}"
            program.write_bytes(content)
            program.chmod(0o755)
            content = f'#!/bin/sh\nexec {shlex.join([*self.emulator, str(program)])} "$@"\n'.encode()
        path.write_bytes(content)
        path.chmod(mode & 0o777)
        return ""

    def _write_getprop(self) -> None:
        script = self.folder / "bin" / "getprop"
        cases = "".join(f"{name}) echo {shlex.quote(value)};;\n" for name, value in self.properties.items())
        script.write_text(f'#!/bin/sh\ncase "$1" in\n{cases}*) echo;;\nesac\n')
        script.chmod(0o755)

    def _unplug_in_time(self, output: bytes) -> None:
        if self.unplugs_after is None:
            return
        self.unplugs_after -= output.count(b"\n")
        if self.unplugs_after <= 0:
            self.unplug()


def _ignore(output: bytes) -> None:
    pass
