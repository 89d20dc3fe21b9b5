"""A program that answers lines, at the other end of a pipe."""

from __future__ import annotations

import os
import select
import subprocess
import time
from collections.abc import Sequence

PATIENCE_S = 600.0
"""For one answer: a measurement takes milliseconds, but the machine may be asleep for a while."""
LAST_S = 5.0
"""For a process to end by itself when its input has."""


class PipeClosedError(Exception):
    """The other end is gone, with what it said last."""


class LinePipe:
    """Asks a process line by line."""

    def __init__(self, command: Sequence[str]) -> None:
        # In a separate session: Ctrl-C reaches only this process, which then closes the pipe.
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,
        )
        self._rest = b""

    def ask(self, request: str) -> str:
        """Send a line and return the line that answers. Raises `PipeClosedError`."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(request.encode() + b"\n")
        except OSError:
            raise PipeClosedError(self._last_words()) from None
        return self._read_line().decode(errors="replace").rstrip("\r")

    def close(self) -> None:
        """End the process."""
        if self._process.returncode is None:
            self._last_words()

    def _read_line(self) -> bytes:
        assert self._process.stdout is not None
        source = self._process.stdout.fileno()
        end = time.monotonic() + PATIENCE_S
        while b"\n" not in self._rest:
            if not select.select([source], [], [], max(0.0, end - time.monotonic()))[0]:
                raise PipeClosedError(f"no answer within {PATIENCE_S:.0f} s")
            part = os.read(source, 1 << 16)
            if not part:
                raise PipeClosedError(self._last_words())
            self._rest += part
        line, _, self._rest = self._rest.partition(b"\n")
        return line

    def _last_words(self) -> str:
        """End it, and return what it wrote to its standard error."""
        try:
            _, said = self._process.communicate(timeout=LAST_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            _, said = self._process.communicate()
        return " ".join(said.decode(errors="replace").split())
