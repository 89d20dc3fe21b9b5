"""Tables in files, pipes and terminals of any width: no cell is cut, none is left out."""

from __future__ import annotations

import io
import re
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from rich.table import Table

from phonelm.cli.tables import output_console, print_table

NAMES = ["smollm2-135m-instruct-of-a-long-name", "b"]


def table() -> Table:
    made = Table("model", title="speeds")
    for name in ("prefill of 512\ntokens/s", "decode\ntokens/s", "memory\nMB"):
        made.add_column(name, justify="right", no_wrap=True)
    for name in NAMES:
        made.add_row(name, "1,710.2\n1,695 to 1,720", "309.9", "peak 186\nweights 97")
    return made


def printed(width: int) -> str:
    stream = io.StringIO()
    print_table(Console(file=stream, width=width, highlight=False), table())
    return stream.getvalue()


@given(st.integers(12, 200))
def test_no_width_cuts_a_cell(width: int) -> None:
    text = printed(width)
    assert "…" not in text
    assert all(len(line) <= width for line in text.splitlines())
    letters = re.sub(r"[^\w,.]", "", text)
    for cell in ("1,710.2", "309.9", "186", "97", "b"):
        assert cell in letters
    if width >= 50:
        assert all(name in text for name in NAMES)


def test_a_narrow_terminal_gets_a_line_for_each_cell() -> None:
    lines = [line.rstrip() for line in printed(46).splitlines()]
    assert f"model: {NAMES[0]}" in lines
    assert "prefill of 512 tokens/s: 1,710.2, 1,695 to" in lines


def test_into_a_pipe_a_table_is_as_wide_as_it_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    assert not sys.stdout.isatty()
    console = output_console()
    print_table(console, table())
    lines = capsys.readouterr().out.splitlines()
    row = next(line for line in lines if NAMES[0] in line)
    assert "1,710.2" in row
    assert "309.9" in row
