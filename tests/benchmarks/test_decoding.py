"""Constrained decoding and look-up, as the command is called."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

COMMAND = Path(__file__).resolve().parents[2] / "benchmarks" / "decoding.py"


def call(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(COMMAND), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_a_row_for_each_task(smollm2_gguf: Path) -> None:
    pytest.importorskip("llguidance")
    done = call(smollm2_gguf, "--rounds", 1, "--generate", 12, "--json")
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)["rows"]
    assert [row["task"].split(", ")[0] for row in rows] == ["JSON list"] * 2 + ["look-up"] * 4
    assert all(row["same_text"] for row in rows[2:])
    assert all(row["tokens"] == 12 and row["ratio"] > 0 for row in rows[:2])


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["--rounds", "0"], 2, "1 or more"),
        (["--generate", "1"], 2, "2 or more"),
        (["nothing.gguf"], 1, "no model at nothing.gguf"),
    ],
)
def test_wrong_usage_is_told(arguments: list[str], status: int, said: str) -> None:
    done = call(*arguments)
    assert done.returncode == status
    assert said in done.stderr
    assert "Traceback" not in done.stderr
