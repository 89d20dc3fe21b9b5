from __future__ import annotations

import pytest

from phonelm.progress import TerminalProgress, _Sayings


def test_a_log_is_told_now_and_then(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    moments = iter([0.0, 5.0, 10.0, 12.0, 30.0])
    monkeypatch.setattr("phonelm.progress.time.monotonic", lambda: next(moments))
    lines: list[str] = []
    sayings = _Sayings(lines.append, "x", 100_000_000, 20_000_000)
    for _ in range(4):
        sayings.advance(10_000_000)
    assert lines == [
        "x: 40.0 MB of 100.0 MB, 2.0 MB/s, 30 s left",
        "x: 60.0 MB of 100.0 MB, 1.3 MB/s, 30 s left",
    ]


def test_without_a_terminal_nothing_is_drawn(capsys: pytest.CaptureFixture[str]) -> None:
    with TerminalProgress().transfer("x", 1000, 0) as advance:
        advance(1000)
    assert capsys.readouterr() == ("", "")


def test_without_a_terminal_a_phase_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    with TerminalProgress().bar("measuring [operators]", 10) as advance:
        advance(4)
        advance(6)
    captured = capsys.readouterr()
    assert captured.err == "  measuring [operators]\n"
    assert captured.out == ""
