"""Calibrated quantization of whole, tiny models."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from float_source import WORDS, written_source, written_text
from phonelm import load
from phonelm.engine.calibration import CalibrationOptions, encoders, quantize_calibrated
from phonelm.engine.calibration.observation import HEAD, Input, gram_matrices, input_of, mean_squares
from phonelm.engine.calibration.text import read_windows
from phonelm.evaluate import kl_divergence
from phonelm.formats import requantize_gguf
from phonelm.progress import Progress


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return written_source(tmp_path)


@pytest.fixture
def text(tmp_path: Path) -> Path:
    return written_text(tmp_path / "text.txt")


def divergence(source: Path, other: Path) -> float:
    with load(source, num_threads=1) as exact, load(other, num_threads=1) as model:
        ids = exact.tokenizer.encode(" ".join(np.random.default_rng(9).choice(WORDS, 200)))[:250]
        return kl_divergence(exact.logits(ids), model.logits(ids))


def test_each_way_is_nearer_to_the_source_than_the_one_before(
    source: Path, text: Path, tmp_path: Path
) -> None:
    plain, weighted, compensated = (
        tmp_path / f"{name}.gguf" for name in ("plain", "weighted", "compensated")
    )
    requantize_gguf(source, plain, "q4_0")
    summary = quantize_calibrated(source, weighted, "q4_0", CalibrationOptions(text))
    assert summary["calibration"] | {"tokens": 0} == {"tokens": 0, "weighted": 21, "plain": 1}
    summary = quantize_calibrated(source, compensated, "q4_0", CalibrationOptions(text, compensate=True))
    assert summary["calibration"] | {"tokens": 0} == {"tokens": 0, "compensated": 21, "plain": 1}
    assert summary["made"]["config"]["text"] == str(text)
    assert plain.stat().st_size == weighted.stat().st_size == compensated.stat().st_size
    losses = [divergence(source, path) for path in (plain, weighted, compensated)]
    assert losses[2] < losses[1] < losses[0]
    assert not list(tmp_path.glob(".*"))


def test_a_head_with_scales_to_search_is_weighed(source: Path, text: Path, tmp_path: Path) -> None:
    for compensate in (False, True):
        options = CalibrationOptions(text, compensate)
        summary = quantize_calibrated(source, tmp_path / "out.gguf", "q4_0", options, embedding_type="q5_0")
        ways = summary["calibration"]
        assert ways["weighted"] == (1 if compensate else 22)
        assert ways.get("compensated", 0) == (21 if compensate else 0)
        assert "plain" not in ways


def test_a_stopped_run_goes_on(
    source: Path, text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, out = tmp_path / "whole.gguf", tmp_path / "out.gguf"
    options = CalibrationOptions(text, compensate=True)
    quantize_calibrated(source, whole, "q4_0", options)
    rounded, real = [], encoders.quantize_compensated

    def counting(*arguments: Any) -> Any:
        rounded.append(arguments)
        if len(rounded) == 10:
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr(encoders, "quantize_compensated", counting)
    with pytest.raises(KeyboardInterrupt):
        quantize_calibrated(source, out, "q4_0", options)
    assert not out.exists()
    rounded[:] = [()] * 20
    quantize_calibrated(source, out, "q4_0", options)
    assert len(rounded) == 20 + 21 - 9
    assert out.read_bytes() == whole.read_bytes()


def test_what_another_text_has_finished_is_not_taken(
    source: Path, text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: Any) -> Any:
        raise KeyboardInterrupt

    out = tmp_path / "out.gguf"
    real = encoders.quantize_compensated
    monkeypatch.setattr(encoders, "quantize_weighted", stop)
    with pytest.raises(KeyboardInterrupt):
        quantize_calibrated(
            source, out, "q4_0", CalibrationOptions(text, compensate=True), embedding_type="q5_0"
        )
    monkeypatch.undo()
    rounded = []

    def counting(*arguments: Any) -> Any:
        rounded.append(arguments)
        return real(*arguments)

    monkeypatch.setattr(encoders, "quantize_compensated", counting)
    other = written_text(tmp_path / "other.txt", seed=3)
    quantize_calibrated(source, out, "q4_0", CalibrationOptions(other, compensate=True))
    assert len(rounded) == 21


def test_sums_do_not_depend_on_the_groups_of_layers(source: Path, text: Path) -> None:
    with load(source, num_threads=1, sparse_ffn=False) as model:
        windows = read_windows(text, model.tokenizer, 1100, 200)
        native = model.native

    def advance(_done: float) -> None:
        pass

    together = gram_matrices(native, windows, range(3), 3, advance)
    assert len(together) == 12
    squares = mean_squares(native, windows, range(3), 3, advance)
    assert Input(3, HEAD) in squares
    num_tokens = sum(len(window) for window in windows)
    alone = gram_matrices(native, windows, range(1, 2), 3, advance)
    assert {place.layer for place in alone} == {1}
    for place, gram in alone.items():
        np.testing.assert_allclose(gram, together[place], rtol=1e-4, atol=1e-4 * np.abs(gram).max())
        np.testing.assert_allclose(np.diag(gram) / num_tokens, squares[place], rtol=1e-4)


def test_a_pipe_gets_the_file_and_no_folder(source: Path, text: Path, tmp_path: Path) -> None:
    pipe, whole = tmp_path / "pipe", tmp_path / "whole.gguf"
    os.mkfifo(pipe)
    received: list[bytes] = []
    reader = threading.Thread(target=lambda: received.append(pipe.read_bytes()))
    reader.start()
    options = CalibrationOptions(text, compensate=True)
    quantize_calibrated(source, pipe, "q4_0", options)
    reader.join()
    quantize_calibrated(source, whole, "q4_0", options)
    assert received == [whole.read_bytes()]
    assert not list(tmp_path.glob(".*"))


def test_few_tokens_for_many_columns_are_told(source: Path, text: Path, tmp_path: Path) -> None:
    told: list[str] = []

    class Lines(Progress):
        def line(self, text: str) -> None:
            told.append(text)

    for tokens in (600, 2000):
        options = CalibrationOptions(text, compensate=True, tokens=tokens)
        quantize_calibrated(source, tmp_path / "out.gguf", "q4_0", options, progress=Lines())
    assert sum("say little about inputs of 256 columns" in line for line in told) == 1
    assert any(line.startswith("Q8_0: rounded plainly") for line in told)


def test_matrices_that_read_one_input_share_it() -> None:
    assert input_of("blk.3.attn_q.weight", 4, True) == input_of("blk.3.attn_qkv.weight", 4, True)
    assert input_of("blk.3.ffn_gate.weight", 4, True) == input_of("blk.3.ffn_up.weight", 4, True)
    assert input_of("blk.3.ffn_down.weight", 4, True) == Input(3, "ffn_down")
    assert input_of("token_embd.weight", 4, True) == input_of("output.weight", 4, False) == Input(4, HEAD)
    for name in ("token_embd.weight", "blk.3.attn_norm.weight", "rope_freqs.weight", "blk.3.attn_q.bias"):
        assert input_of(name, 4, False) is None


def test_documents_of_json_lines(source: Path, text: Path, tmp_path: Path) -> None:
    lines = tmp_path / "lines.jsonl"
    words = text.read_text().split()
    parts = [" ".join(words[start : start + 100]) for start in range(0, len(words), 100)]
    lines.write_text("\n".join(json.dumps({"text": part}) for part in parts))
    with load(source, num_threads=1) as model:
        from_lines = read_windows(lines, model.tokenizer, 100_000, 128)
        flat = [token for window in from_lines for token in window]
        assert model.tokenizer.decode(flat) == "\n\n".join(parts)
        assert {len(window) for window in from_lines[:-1]} == {128}
        assert sum(len(window) for window in read_windows(lines, model.tokenizer, 700, 128)) == 700


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("empty.txt", b"", "has 0 tokens"),
        ("short.txt", b"too short", "which say too little"),
        ("bytes.txt", b"\xff\xfe" * 4000, "not what its name says|not UTF-8"),
        ("bytes.log", b"\xff\xfe" * 4000, "is not UTF-8 text"),
        ("lines.jsonl", b'{"body": "text"}\n', 'no "text"'),
        ("lines.jsonl", b"{nothing\n", "is not JSON"),
    ],
)
def test_bad_texts_are_refused(source: Path, tmp_path: Path, name: str, content: bytes, message: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message) as caught:
        quantize_calibrated(source, tmp_path / "out.gguf", "q4_0", CalibrationOptions(path))
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out.gguf").exists()


def test_a_source_of_few_bits_is_refused(source: Path, text: Path, tmp_path: Path) -> None:
    small, out = tmp_path / "small.gguf", tmp_path / "out.gguf"
    requantize_gguf(source, small, "q4_1")
    with pytest.raises(ValueError, match="6 bits or fewer already"):
        quantize_calibrated(small, out, "q4_0", CalibrationOptions(text, compensate=True))
    assert not list(tmp_path.glob(".*"))
    with pytest.raises(ValueError, match="too few"):
        CalibrationOptions(text, tokens=511)
    with pytest.raises(FileNotFoundError):
        quantize_calibrated(source, out, "q4_0", CalibrationOptions(tmp_path / "missing.txt"))
