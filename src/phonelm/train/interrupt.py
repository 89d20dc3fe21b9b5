"""Ctrl-C and SIGTERM that wait for the end of a training step."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any


class Interrupt:
    """Remembers the signal that came; `reraise` delivers it when the work is safe."""

    def __init__(self) -> None:
        self.signum: int | None = None
        self._previous: dict[int, Any] = {}

    def install(self) -> None:
        """Hold back SIGINT and SIGTERM (in the main thread; elsewhere Python does not deliver them)."""
        if threading.current_thread() is threading.main_thread():
            for signum in (signal.SIGINT, signal.SIGTERM):
                self._previous[signum] = signal.signal(signum, self._remember)

    def restore(self) -> None:
        """Give the signals back to who had them."""
        for signum, handler in self._previous.items():
            signal.signal(signum, handler)
        self._previous.clear()

    def reraise(self) -> None:
        """Deliver the remembered signal, if any, to who handled it before (Ctrl-C: `KeyboardInterrupt`)."""
        if self.signum is not None:
            self.restore()
            signal.raise_signal(self.signum)

    def _remember(self, signum: int, frame: FrameType | None) -> None:
        # Somebody who presses twice does not want to wait.
        if self.signum is not None:
            self.reraise()
        self.signum = signum


@contextmanager
def held_back() -> Iterator[Interrupt]:
    """Hold SIGINT and SIGTERM back within the block."""
    interrupt = Interrupt()
    interrupt.install()
    try:
        yield interrupt
    finally:
        interrupt.restore()
