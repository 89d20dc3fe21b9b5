"""Progress that stages report and a terminal shows; the base class is silent (tests, `--json`, libraries)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Progress:
    """Receives lines and bars and shows nothing."""

    def line(self, text: str) -> None:
        """Take one line a person may read."""

    @contextmanager
    def bar(self, label: str, total: float) -> Iterator[Callable[[float], None]]:
        """Yield a function that advances a bar of `total` units by the units just done."""
        yield lambda _done: None


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
