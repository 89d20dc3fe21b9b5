"""The command as it is called."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

COMMAND = Path(__file__).resolve().parents[2] / "benchmarks" / "runtime.py"


def call(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(COMMAND), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--threads", "0"], "'0' is not a number from 1 up"),
        (["--rounds", "some"], "'some' is not a number from 1 up"),
        (["--only", "peers,speed"], "no section 'speed'; there are peers, threads, load, scoring, sparse"),
        (["--peers", "torch"], "invalid choice: 'torch'"),
    ],
)
def test_wrong_usage_ends_with_2(arguments: list[str], said: str) -> None:
    done = call(*arguments)
    assert done.returncode == 2
    assert said in done.stderr.splitlines()[-1]


def test_a_model_that_is_nowhere_is_told_in_one_line() -> None:
    done = call("nothing.gguf", "--only", "peers", "--peers")
    assert (done.returncode, done.stdout) == (1, "")
    assert len(done.stderr.splitlines()) == 1
    assert "no model at nothing.gguf" in done.stderr


def test_a_section_that_fails_is_told_and_ends_with_1(tiny_gguf: Path) -> None:
    done = call(str(tiny_gguf), "--only", "peers", "--peers", "--prompt", "512", "--json")
    assert done.returncode == 1
    document = json.loads(done.stdout)
    assert document["rows"] == []
    assert "exceed the context" in document["failed"]["peers"]


@pytest.mark.slow
def test_without_peers_our_own_rows_remain(tiny_gguf: Path) -> None:
    counts = ("--prompt", "32", "--generate", "8", "--rounds", "1", "--threads", "1")
    done = call(str(tiny_gguf), "--only", "peers,load", "--peers", *counts, "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert set(document) == {"made", "machine", "rows", "left_out", "checks", "failed", "load"}
    assert [row["phase"] for row in document["rows"]] == ["prefill", "decode", "decode@32"]
    assert all(row["ours_tok_s"] > 0 and row["floor_tok_s"] > 0 for row in document["rows"])
    check = document["checks"][str(tiny_gguf)]["1 threads"]
    assert check["same_every_round"] is None  # the text does not fit into this model
    assert check["as_scalar"]["equal"] == 4
    assert document["load"]["first_token_s"] > 0
