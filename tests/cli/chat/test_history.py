from __future__ import annotations

import stat
from pathlib import Path

import pytest

from phonelm.cli.chat.history import MOST_ENTRIES, History


def test_entries_of_several_lines_come_back(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "history"
    first, beside = History(path), History(path)
    assert [first.add(text) for text in ("one", "one", "", 'two\n"lines"', "drei ü")] == [
        True, False, False, True, True,
    ]  # fmt: skip
    beside.add("of another chat")
    assert History(path).entries == ["one", 'two\n"lines"', "drei ü", "of another chat"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_it_keeps_the_latest(tmp_path: Path) -> None:
    path = tmp_path / "history"
    path.write_text("".join(f'"{number}"\n' for number in range(MOST_ENTRIES + 5)))
    assert History(path).entries[0] == "5"
    assert len(path.read_text().splitlines()) == MOST_ENTRIES


def test_a_broken_line_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "history"
    path.write_bytes(b'"a"\n{"b": 1}\n"c\n\xff\n"d"\n')
    assert History(path).entries == ["a", "d"]


@pytest.mark.parametrize("where", ["/proc/nowhere/history", "/dev/null/history"])
def test_a_place_that_cannot_be_written_is_no_error(where: str) -> None:
    history = History(Path(where))
    assert history.add("a")
    assert history.entries == ["a"]
