"""`phonelm data` and `phonelm train`, as typed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from phonelm.arch import DecoderConfig


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from phonelm.cli import main; main()", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.slow
def test_text_to_tokens_to_a_model(tmp_path: Path) -> None:
    text = "".join(f"sentence {n} has number {n % 17}.\n" for n in range(600))
    (tmp_path / "text.txt").write_text(text)
    source = str(tmp_path / "text.txt")
    made = run("data", "--source", source, "--vocab", "300", "--out", str(tmp_path / "data"), "--json")
    assert made.returncode == 0, made.stderr
    manifest = json.loads(made.stdout)
    assert manifest["train"]["bytes"] + manifest["valid"]["bytes"] == len(text)

    decoder = DecoderConfig(
        vocab_size=300,
        hidden_size=32,
        num_layers=1,
        num_heads=2,
        num_kv_heads=2,
        head_dim=16,
        intermediate_size=32,
        activation="relu",
        context_length=64,
    )
    (tmp_path / "shape.json").write_text(json.dumps({"chosen": {"config": decoder.model_dump()}}))
    options = ("--shape", str(tmp_path / "shape.json"), "--steps", "3", "--batch", "2", "--length", "32")
    trained = run("train", str(tmp_path / "data"), *options, "--out", str(tmp_path / "model"), "--json")
    assert trained.returncode == 0, trained.stderr
    assert json.loads(trained.stdout)["tokens"] == 3 * 2 * 32
    assert (tmp_path / "model" / "model.safetensors").exists()


def test_failures_are_one_line_and_exit_code_1(tmp_path: Path) -> None:
    (tmp_path / "bad.jsonl").write_text("{")
    failed = run("data", "--source", str(tmp_path / "bad.jsonl"), "--out", str(tmp_path / "data"))
    assert failed.returncode == 1
    assert "bad.jsonl line 1 is not JSON" in failed.stderr
    assert [line[:8] for line in failed.stderr.splitlines()] == ["  learn ", "phonelm:"]
    failed = run(
        "train", str(tmp_path), "--shape", "phonelm-0.5b", "--steps", "1", "--out", str(tmp_path / "m")
    )
    assert failed.returncode == 1
    assert "holds no prepared data" in failed.stderr
