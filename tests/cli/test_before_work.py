"""What a verb needs is checked before it works: packages, sources, places to write to."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from phonelm.bench.suite import select
from phonelm.bench.suite.store import append_row
from suite_rows import synthetic_row
from synthetic import synthetic_profile

Phonelm = Callable[..., subprocess.CompletedProcess[str]]
RECIPE = """
name: tiny
search: {params: 400k, vocab_size: 512, context_length: 256}
data: {source: texts}
train:
  - {name: stable, steps: 10, sequence_length: 64}
  - {name: decay, steps: 4, decay_steps: 4}
"""


@pytest.fixture
def lines(tmp_path: Path) -> dict[str, list[object]]:
    """Commands that would work for seconds or minutes, by verb; `--out` follows."""
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.txt").write_text("some text\n")
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    synthetic_profile().save(tmp_path / "device.json")
    append_row(tmp_path / "rows.jsonl", synthetic_row(select().entries[0]))
    return {
        "build": ["build", tmp_path / "recipe.yaml"],
        "profile": ["profile"],
        "search": ["search", "--params", "2M", "--device", tmp_path / "device.json"],
        "suite": ["bench", "--suite", "slm", "--only", "SmolLM2-135M"],
        "survey": ["survey", "--suite", tmp_path / "rows.jsonl"],
        "data": ["data", "--source", tmp_path / "texts"],
        "train": ["train", tmp_path / "data", "--shape", "smollm2-135m", "--steps", "3"],
        "tune": ["tune", "instruct", "--base", tmp_path, "--data", tmp_path / "texts"],
        "fit-quality": ["search", "fit-quality", "--corpus", tmp_path / "texts"],
    }


def refused(done: subprocess.CompletedProcess[str], *words: str) -> None:
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.count("\n") == 1, done.stderr
    for word in words:
        assert word in done.stderr


@pytest.mark.parametrize(
    "verb", ["build", "profile", "search", "suite", "survey", "data", "train", "tune", "fit-quality"]
)
def test_an_output_that_cannot_be_written_is_refused(
    phonelm: Phonelm, lines: dict[str, list[object]], tmp_path: Path, verb: str
) -> None:
    (tmp_path / "file").touch()
    refused(phonelm(*lines[verb], "--out", tmp_path / "file" / "out"), "not a directory", "choose another")


@pytest.mark.parametrize("line", [["profile"], ["search", "--params", "2M"], ["survey"]])
def test_a_cache_folder_that_cannot_be_written_is_refused_by_its_variable(
    phonelm: Phonelm, environment: dict[str, str], tmp_path: Path, line: list[str]
) -> None:
    (tmp_path / "file").touch()
    environment["PHONELM_CACHE"] = str(tmp_path / "file" / "cache")
    done = phonelm(*line, "--out", tmp_path / "out.json")
    assert done.returncode == 1
    assert "name another cache folder with PHONELM_CACHE" in done.stderr.splitlines()[-1]
    assert "measuring" not in done.stderr


@pytest.mark.parametrize(
    ("verb", "package", "extra"),
    [
        ("survey", "matplotlib", "report"),
        ("build", "matplotlib", "report"),
        ("build", "torch", "train"),
        ("train", "torch", "train"),
        ("tune", "peft", "train"),
        ("fit-quality", "torch", "train"),
        ("data", "tokenizers", "train"),
    ],
)
def test_a_missing_package_is_said_with_its_extra(
    phonelm: Phonelm,
    environment: dict[str, str],
    lines: dict[str, list[object]],
    tmp_path: Path,
    verb: str,
    package: str,
    extra: str,
) -> None:
    without(package, environment, tmp_path)
    refused(phonelm(*lines[verb], "--out", tmp_path / "out"), package, f'pip install "phonelm[{extra}]"')
    assert not (tmp_path / "out").exists()


def without(package: str, environment: dict[str, str], folder: Path) -> None:
    (folder / "sitecustomize.py").write_text(f"import sys\nsys.modules[{package!r}] = None\n")
    environment["PYTHONPATH"] = f"{folder}:{environment['PYTHONPATH']}"


def test_a_search_without_pictures_says_so_first_and_writes_the_design(
    phonelm: Phonelm, environment: dict[str, str], lines: dict[str, list[object]], tmp_path: Path
) -> None:
    without("matplotlib", environment, tmp_path)
    done = phonelm(*lines["search"], "--no-verify", "--vocab", "1024", "--out", tmp_path / "design.json")
    assert done.returncode == 0, done.stderr
    assert 'pip install "phonelm[report]"' in done.stderr.splitlines()[0]
    assert (tmp_path / "design.json").is_file()
    assert not (tmp_path / "design.html").exists()


def test_a_source_that_is_missing_is_said_before_the_machine_is_measured(
    phonelm: Phonelm, lines: dict[str, list[object]], tmp_path: Path
) -> None:
    (tmp_path / "texts" / "a.txt").unlink()
    (tmp_path / "texts").rmdir()
    refused(
        phonelm(*lines["build"], "--out", tmp_path / "run"),
        f"data source {tmp_path / 'texts'} does not exist",
    )
    refused(phonelm(*lines["fit-quality"], "--out", tmp_path / "study"), "does not exist")


def test_a_predictor_that_is_none_is_said_first(
    phonelm: Phonelm, lines: dict[str, list[object]], tmp_path: Path
) -> None:
    done = phonelm(*lines["search"], "--predictor", tmp_path / "device.json", "--out", tmp_path / "d.json")
    refused(done, "is no predictor of quality; fit one with `phonelm search fit-quality`")
