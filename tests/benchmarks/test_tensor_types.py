"""The rates of the GGUF types, as the command is called."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

COMMAND = Path(__file__).resolve().parents[2] / "benchmarks" / "tensor_types.py"


def call(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(COMMAND), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_row_for_each_type() -> None:
    done = call("q4_0", "q4_k", "--shape", "32", "256", "--rounds", "1", "--threads", "1", "--json")
    rows = json.loads(done.stdout)["rows"]
    assert [row["type"] for row in rows] == ["q4_0", "q4_k"]
    assert [row["bits_per_weight"] for row in rows] == [4.5, 4.625]
    assert all(row[key] > 0 for row in rows for key in ("decode_gb_s", "decode_bytes", "prefill"))


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["iq2_xs"], 2, "no type 'iq2_xs'; there are"),
        (["--rounds", "0"], 2, "0 rounds measure nothing"),
        (["q6_k", "--shape", "16", "32"], 1, "32 columns are not whole blocks"),
        (["q6_k", "--isa", "sse9"], 1, "instruction set 'sse9' is not known"),
    ],
)
def test_wrong_usage_is_told(arguments: list[str], status: int, said: str) -> None:
    done = call(*arguments)
    assert done.returncode == status
    assert said in done.stderr
    assert "Traceback" not in done.stderr
