from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from phonelm.bench.suite import select
from phonelm.bench.suite.store import append_row
from suite_rows import MACHINE, synthetic_row

Phonelm = Callable[..., subprocess.CompletedProcess[str]]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "name a model to measure, or take --suite slm"),
        (["--suite", "llm"], "suite 'llm' is not one of: slm"),
        (["model.gguf", "--suite", "slm"], "choose among them with --only"),
        (["model.gguf", "--max-params", "2B"], "'--max-params': it is for --suite only"),
        (["--suite", "slm", "--prompt", 512], "'--prompt': it is for named models only"),
        (["--suite", "slm", "--isa", "neon9"], "instruction set 'neon9' is not one of"),
    ],
)
def test_wrong_usage_of_a_suite_is_refused(phonelm: Phonelm, arguments: list[Any], message: str) -> None:
    done = phonelm("bench", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--only", "SmolLM3-1B"], "no model of the registry is called 'SmolLM3-1B'; try"),
        (["--max-params", "many"], "'many' is not a number of parameters"),
        (["--max-params", "-1"], "'-1' is not a number of parameters"),
        (["--quantization", "q4_0,q9"], "unknown weight type 'q9'"),
    ],
)
def test_a_choice_of_no_model_is_refused(phonelm: Phonelm, arguments: list[Any], message: str) -> None:
    done = phonelm("bench", "--suite", "slm", *arguments)
    assert (done.returncode, done.stdout) == (1, "")
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


def test_what_cannot_be_built_is_said_and_nothing_is_measured(phonelm: Phonelm, tmp_path: Path) -> None:
    out = tmp_path / "rows.jsonl"
    done = phonelm("bench", "--suite", "slm", "--only", "OPT-125M", "--out", out, "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["results"] == []
    assert "learned positions" in document["left_out"]["OPT-125M"]
    assert not out.exists()


def test_a_survey_is_drawn_from_a_file(phonelm: Phonelm, tmp_path: Path) -> None:
    rows, out = tmp_path / "rows.jsonl", tmp_path / "survey"
    append_row(rows, synthetic_row(select().entries[0]))
    done = phonelm("survey", "--suite", rows, "--out", out, "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["machine"] == "Test CPU"
    assert Path(document["page"]).is_file()
    assert all((out / f"{name}.csv").is_file() for name in document["figures"])


def test_rows_that_leave_a_doubt_are_refused(phonelm: Phonelm, tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    for name in ("One CPU", "Two CPU"):
        append_row(
            rows, synthetic_row(select().entries[0], machine=MACHINE.model_copy(update={"model": name}))
        )
    several = phonelm("survey", "--suite", rows, "--out", tmp_path / "out")
    assert "choose one with --machine: One CPU; Two CPU" in several.stderr
    missing = phonelm("survey", "--suite", tmp_path / "nothing.jsonl")
    assert "no suite file at" in missing.stderr
    rows.write_text("{}\n")
    broken = phonelm("survey", "--suite", rows)
    assert "rows.jsonl, line 1, is not a row of this version" in broken.stderr
    for done in (several, missing, broken):
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.count("\n") == 1
