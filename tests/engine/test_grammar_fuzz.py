"""Random schemas and grammars, by seeds; `python tests/fuzz_grammars.py --count 100000` tries many."""

from __future__ import annotations

import pytest

pytest.importorskip("llguidance")
pytest.importorskip("jsonschema")

from fuzz_grammars import TRIES, run_apart


@pytest.mark.slow
@pytest.mark.parametrize("kind", list(TRIES))
def test_nothing_worse_than_one_clear_line(kind: str, capfd: pytest.CaptureFixture[str]) -> None:
    outcomes = run_apart(kind, first=0, count=2000)
    assert outcomes["WRONG"] == 0, capfd.readouterr().out
    assert outcomes["right"] > 500
