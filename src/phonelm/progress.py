"""Progress that stages report and a terminal shows; the base class is silent (tests, `--json`, libraries)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from phonelm.words import sized


class Progress:
    """Receives lines and bars and shows nothing."""

    def line(self, text: str) -> None:
        """Take one line a person may read."""

    @contextmanager
    def bar(self, label: str, total: float) -> Iterator[Callable[[float], None]]:
        """Yield a function that advances a bar of `total` units by the units just done."""
        yield lambda _done: None

    @contextmanager
    def transfer(self, label: str, total_bytes: int, done_bytes: int) -> Iterator[Callable[[float], None]]:
        """Yield a function that advances a transfer by bytes, of which some came before; below 0: back."""
        yield lambda _bytes: None


class TerminalProgress(Progress):
    """Lines and bars on standard error."""

    def __init__(self) -> None:
        from rich.console import Console

        self._console = Console(stderr=True, highlight=False)

    def line(self, text: str) -> None:
        """Print the line; brackets in it are not markup."""
        self._console.print(text, markup=False, soft_wrap=True)

    @contextmanager
    def bar(self, label: str, total: float) -> Iterator[Callable[[float], None]]:
        """Draw a bar with the time left; it is gone when the work is done. Elsewhere it is a line."""
        if not self._console.is_terminal:
            self.line(f"  {label}")
            yield lambda _done: None
            return
        from rich.progress import BarColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
        from rich.progress import Progress as RichProgress

        columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn())
        with RichProgress(*columns, console=self._console, transient=True) as bars:
            task = bars.add_task(label, total=total)
            yield lambda done: bars.advance(task, done)

    @contextmanager
    def transfer(self, label: str, total_bytes: int, done_bytes: int) -> Iterator[Callable[[float], None]]:
        """Draw bytes, rate and time left; where nothing can be drawn, say them every few seconds."""
        from rich.progress import (
            BarColumn,
            DownloadColumn,
            TextColumn,
            TimeRemainingColumn,
            TransferSpeedColumn,
        )
        from rich.progress import Progress as RichProgress

        if not self._console.is_terminal:
            yield _Sayings(self.line, label, total_bytes, done_bytes).advance
            return
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
        )
        with RichProgress(*columns, console=self._console, transient=True) as bars:
            task = bars.add_task(label, total=total_bytes, completed=done_bytes)
            yield lambda done: bars.advance(task, done)


class _Sayings:
    """Says every few seconds how far a transfer is, for logs."""

    EVERY_S = 10.0

    def __init__(self, say: Callable[[str], None], label: str, total_bytes: int, done_bytes: int) -> None:
        self._say, self._label, self._total = say, label, total_bytes
        self._done: float = done_bytes
        self._come = 0.0
        self._begun = self._said = time.monotonic()

    def advance(self, num_bytes: float) -> None:
        """Count bytes that have come."""
        self._done += num_bytes
        self._come += max(num_bytes, 0)
        now = time.monotonic()
        if now - self._said < self.EVERY_S:
            return
        self._said = now
        rate = self._come / max(now - self._begun, 1e-9)
        left = f", {(self._total - self._done) / rate:.0f} s left" if rate else ""
        self._say(f"{self._label}: {sized(self._done)} of {sized(self._total)}, {sized(rate)}/s{left}")
