from __future__ import annotations

import pytest

from phonelm.progress import TerminalProgress


def test_without_a_terminal_a_phase_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    with TerminalProgress().bar("measuring [operators]", 10) as advance:
        advance(4)
        advance(6)
    captured = capsys.readouterr()
    assert captured.err == "  measuring [operators]\n"
    assert captured.out == ""
