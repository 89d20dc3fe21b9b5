"""A sweep over weight types, against the functions that measure one file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from float_source import written_source, written_text
from phonelm.engine import load
from phonelm.evaluate import compare, sweep, text_windows
from phonelm.evaluate.sweep import SweepOptions, run_sweep
from phonelm.formats import requantize_gguf


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return written_source(tmp_path)


@pytest.fixture
def options(tmp_path: Path) -> SweepOptions:
    text = written_text(tmp_path / "text.txt", 150, 1)
    return SweepOptions(text, types=("q4_0", "q8_0"), tokens=400, calibration_tokens=600)


def calibrated(options: SweepOptions, tmp_path: Path) -> SweepOptions:
    other = written_text(tmp_path / "other.txt", 400, 2)
    return SweepOptions(options.text, other, options.types, options.tokens, options.calibration_tokens)


def test_rows_are_what_each_file_gives_alone(source: Path, options: SweepOptions, tmp_path: Path) -> None:
    found = run_sweep(source, tmp_path / "sweep", calibrated(options, tmp_path))
    assert [(row.type, row.way) for row in found.rows] == [
        ("source", "plain"), ("q4_0", "plain"), ("q4_0", "importance"), ("q4_0", "compensated"),
        ("q8_0", "plain"),
    ]  # fmt: skip
    assert found.rows[0].kl_mean == 0
    assert found.rows[0].perplexity_ratio == 1
    assert found.rows[3].kl_mean < found.rows[2].kl_mean < found.rows[1].kl_mean
    plain = tmp_path / "plain.gguf"
    requantize_gguf(source, plain, "q4_0")
    with load(source) as reference, load(plain) as model:
        windows = text_windows(reference.tokenizer, [options.text.read_text()], 256, 128, 400).windows
        expected = compare(reference, model, windows)
    assert found.perplexity == pytest.approx(expected.reference.perplexity, rel=0.01)
    assert found.num_tokens == sum(window.num_scored for window in windows)
    row = found.rows[1]
    assert (row.file_bytes, row.bits_per_weight) == (plain.stat().st_size, pytest.approx(5, abs=1))
    assert row.kl_mean == pytest.approx(expected.kl_mean, rel=0.05)
    assert row.top1_agreement == pytest.approx(expected.top1_agreement, abs=0.02)
    assert min(row.decode_tok_s, row.prefill_tok_s) > 0
    assert not list((tmp_path / "sweep").glob(".*"))


def test_rows_that_are_there_are_not_measured_again(
    source: Path, options: SweepOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, written, real = tmp_path / "sweep", [], requantize_gguf

    def counting(*arguments: Any, **named: Any) -> Any:
        written.append(arguments[2])
        if len(written) == 2:
            raise KeyboardInterrupt
        return real(*arguments, **named)

    monkeypatch.setattr(sweep, "requantize_gguf", counting)
    with pytest.raises(KeyboardInterrupt):
        run_sweep(source, folder, options)
    assert [row["type"] for row in json.loads((folder / "sweep.json").read_text())["rows"]] == [
        "source",
        "q4_0",
    ]
    rows = run_sweep(source, folder, options).rows
    assert written == ["q4_0", "q8_0", "q8_0"]
    assert run_sweep(source, folder, options).rows == rows
    assert written == ["q4_0", "q8_0", "q8_0"]
    written_text(options.text, 140, 5)
    run_sweep(source, folder, options)
    assert written[3:] == ["q4_0", "q8_0"]


def test_what_cannot_be_measured_is_refused(source: Path, options: SweepOptions, tmp_path: Path) -> None:
    same = tmp_path / "same.txt"
    same.write_bytes(options.text.read_bytes())
    for importance in (options.text, same):
        with pytest.raises(ValueError, match="is also the text to measure on"):
            run_sweep(source, tmp_path, SweepOptions(options.text, importance))
    with pytest.raises(ValueError, match="unknown weight type 'q9'"):
        run_sweep(source, tmp_path, SweepOptions(options.text, types=("q9",)))
    with pytest.raises(ValueError, match="name at least one"):
        run_sweep(source, tmp_path, SweepOptions(options.text, types=()))
    (tmp_path / "sweep.json").write_text("[1]")
    assert len(run_sweep(source, tmp_path, SweepOptions(options.text, types=("q8_0",), tokens=300)).rows) == 2


def test_a_damaged_file_of_rows_is_told(source: Path, options: SweepOptions, tmp_path: Path) -> None:
    only = SweepOptions(options.text, types=("q8_0",), tokens=300)
    run_sweep(source, tmp_path, only)
    document = json.loads((tmp_path / "sweep.json").read_text())
    del document["rows"][0]["way"]
    (tmp_path / "sweep.json").write_text(json.dumps(document))
    with pytest.raises(ValueError, match="delete it"):
        run_sweep(source, tmp_path, only)
