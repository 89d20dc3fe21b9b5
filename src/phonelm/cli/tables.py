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
    from rich.measure import Measurement

    for column in table.columns:
        column.overflow, column.no_wrap = "fold", False
    if Measurement.get(console, console.options.update(width=_WIDE), table).minimum <= console.width:
        console.print(table)
        return
    if table.title:
        console.print(str(table.title), soft_wrap=True)
    for line in _records(table):
        console.print(line, markup=False)
    console.print()


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
