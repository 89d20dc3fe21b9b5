"""Several tokens evaluated at once as if they came alone: logits, keys and values, to the bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phonelm import _native
from phonelm.arch import DecoderConfig
from phonelm.arch.arithmetic import BLOCKS
from phonelm.formats import write_random_gguf
from shapes import TINY

ISAS = _native.cpu_info()["isas"]


def tiny(**changes: Any) -> DecoderConfig:
    return TINY.model_copy(update=changes)


SHAPES = {
    "llama": TINY,
    "one head for all keys": tiny(num_kv_heads=1),
    "dead neurons": tiny(activation="relu"),
    "dead neurons, no gate": tiny(activation="relu2", ffn="plain"),
}


def compare(model: _native.Model, ids: list[int], num_before: int) -> None:
    one_by_one, at_once = model.new_session(len(ids)), model.new_session(len(ids))
    for session in (one_by_one, at_once):
        session.prefill(ids[:num_before])
    rows = []
    for token in ids[num_before:-1]:
        one_by_one.prefill([token])
        rows.append(one_by_one.logits())
    np.testing.assert_array_equal(at_once.step_logits(ids[num_before:-1]), np.array(rows))
    # What the caches hold shows in the next token.
    for session in (one_by_one, at_once):
        session.prefill(ids[-1:])
    np.testing.assert_array_equal(at_once.logits(), one_by_one.logits())


def random_ids(count: int, seed: int = 1) -> list[int]:
    return [int(token) for token in np.random.default_rng(seed).integers(0, TINY.vocab_size, count)]


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("block_type", ["q4_0", "q8_0", "f32"])
def test_logits_equal_single_tokens(tmp_path: Path, isa: str, shape: str, block_type: str) -> None:
    path = tmp_path / "model.gguf"
    write_random_gguf(path, SHAPES[shape], block_type=block_type, embedding_type="q8_0", seed=3)
    compare(_native.Model.load(str(path), isa, 2), random_ids(80), 60)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("block_type", [name for name in BLOCKS if name != "q4_0"])
def test_every_type_of_weights(tmp_path: Path, isa: str, block_type: str) -> None:
    path = tmp_path / "model.gguf"
    shape = tiny(hidden_size=256, intermediate_size=256)
    write_random_gguf(path, shape, block_type=block_type, embedding_type=block_type, seed=3)
    compare(_native.Model.load(str(path), isa, 2), random_ids(80), 60)


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_every_number_of_tokens_and_threads(tiny_gguf: Path, threads: int) -> None:
    model = _native.Model.load(str(tiny_gguf), num_threads=threads)
    for count in range(1, 30):
        compare(model, random_ids(41 + count, seed=count), 40)


@settings(max_examples=20, deadline=None)
@given(before=st.integers(1, 90), seed=st.integers(0, 2**32 - 1))
def test_any_place_in_the_context(tiny_gguf: Path, before: int, seed: int) -> None:
    model = _native.Model.load(str(tiny_gguf), num_threads=2)
    compare(model, random_ids(96, seed), before)


def test_a_batch_rounds_more_coarsely(smollm2_gguf: Path) -> None:
    """Else exact passes would be for nothing."""
    model = _native.Model.load(str(smollm2_gguf), num_threads=2)
    ids = model.tokenizer.encode("def area(side):\n    return side * side\n" * 8)[:60]
    compare(model, ids, 48)
    session = model.new_session(60)
    session.prefill(ids[:48])
    coarse = session.prefill_logits(ids[48:])
    session.truncate(48)
    assert np.abs(session.step_logits(ids[48:]) - coarse).max() > 1e-3


def test_an_overrun_changes_nothing(tiny_gguf: Path) -> None:
    session = _native.Model.load(str(tiny_gguf), num_threads=1).new_session(8)
    session.prefill([1, 2, 3])
    with pytest.raises(ValueError, match="6 tokens do not fit into the 5 left"):
        session.step_logits([4, 5, 6, 7, 8, 9])
    assert session.position == 3
