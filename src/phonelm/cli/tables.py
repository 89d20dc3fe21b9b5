"""Tables on standard output: whole in files and pipes, and in a terminal of any width without a cut word."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

_WIDE = 10_000
"""Columns of a file: no table is as wide."""


def output_console() -> Console:
    """Return a console on standard output; into a file or a pipe lines are as long as they need."""
    from rich.console import Console

    return Console(highlight=False, width=None if sys.stdout.isatty() else _WIDE)


def print_table(console: Console, table: Table) -> None:
    """Print a table; where its words do not fit beside each other, row by row with a line for each cell."""
    if (widths := _widths(console, table)) is not None:
        for column, width in zip(table.columns, widths, strict=True):
            column.width, column.overflow, column.no_wrap = width, "fold", False
        console.print(table)
        return
    if table.title:
        console.print(str(table.title), soft_wrap=True)
    for line in _records(table):
        console.print(line, markup=False, soft_wrap=len(line) <= console.width)
    console.print()


def _widths(console: Console, table: Table) -> list[int] | None:
    """Columns' widths that cut no word, the room left given from the left; None where there are none."""
    from rich.measure import Measurement

    options = console.options.update(width=_WIDE)
    needs, wishes = [], []
    for column in table.columns:
        sizes = [Measurement.get(console, options, cell) for cell in (column.header, *column.cells)]
        needs.append(max(size.minimum for size in sizes))
        wishes.append(max(size.maximum for size in sizes))
    frame = Measurement.get(console, options, table).maximum - sum(wishes)
    room = console.width - frame - sum(needs)
    if room < 0:
        return None
    widths = []
    for need, wish in zip(needs, wishes, strict=True):
        widths.append(need + min(wish - need, room))
        room -= widths[-1] - need
    return widths


def _records(table: Table) -> Iterable[str]:
    """The cells of each row with their headings, an empty line between two rows."""
    names = [" ".join(str(column.header).split()) for column in table.columns]
    cells = [list(column.cells) for column in table.columns]
    for row in itertools.zip_longest(*cells, fillvalue=""):
        yield ""
        for name, cell in zip(names, row, strict=True):
            text = ", ".join(str(cell).splitlines())
            if text:
                yield f"{name}: {text}" if name else text
