"""Keys and values in int8: the kernels against numpy, whole models against the same in fp16."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_graph import SHAPES, convert, random_ids, relative_error, save_checkpoint, torch_logits
from test_real_model import english_tokens

from phonelm import _native
from phonelm.evaluate import kl_divergence

ISAS = _native.cpu_info()["isas"]
seeds = st.integers(0, 2**32 - 1)


def rounded(rows: np.ndarray) -> np.ndarray:
    """q8_0 along the last axis, whose last group may be shorter than 32."""
    out = np.empty_like(rows)
    for begin in range(0, rows.shape[1], 32):
        group = rows[:, begin : begin + 32]
        scales = (np.abs(group).max(axis=1, keepdims=True) / 127).astype(np.float16).astype(np.float32)
        inverse = np.divide(1, scales, out=np.zeros_like(scales), where=scales > 0)
        out[:, begin : begin + 32] = np.clip(np.rint(group * inverse), -127, 127) * scales
    return out


@pytest.mark.parametrize("may_round", [False, True])
@pytest.mark.parametrize("isa", ISAS)
@settings(max_examples=30, deadline=None)
@given(
    num_positions=st.integers(1, 70),
    head_dim=st.integers(1, 70).map(lambda half: 2 * half),
    rows=st.integers(1, 16),
    seed=seeds,
)
def test_kernels(isa: str, may_round: bool, num_positions: int, head_dim: int, rows: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    # Outliers, zeros and numbers that fp16 scales hold badly.
    spread = np.exp(rng.uniform(-8, 4, (num_positions, head_dim)))
    kept = (rng.standard_normal((num_positions, head_dim)) * spread).astype(np.float32)
    kept[rng.random(num_positions) < 0.1] = 0
    exact = rounded(kept)
    queries = rng.standard_normal((rows, head_dim)).astype(np.float32)
    weights = rng.random((rows, num_positions), np.float32)
    for result, expected, bound in (
        (
            _native.kernel_byte_keys(isa, kept, queries, may_round),
            queries @ exact.T,
            np.abs(queries) @ np.abs(exact).T,
        ),
        (
            _native.kernel_byte_values(isa, kept, weights, may_round),
            weights @ exact,
            weights @ np.abs(exact),
        ),
    ):
        # bfloat16 keeps 8 bits of the queries, and of the weights with their scales; quants fit as they are.
        relative = 1.01 * 2**-8 if may_round else 1e-5
        assert np.all(np.abs(result - expected) <= relative * bound + 1e-6)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("isa", ISAS)
def test_a_model_with_q8_0_stays_near_torch(tmp_path: Path, isa: str, shape: str) -> None:
    reference = save_checkpoint(tmp_path, "llama", **SHAPES[shape])
    ids = random_ids()
    model = _native.Model.load(str(convert(tmp_path)), isa=isa, num_threads=2)
    session = model.new_session(256, kv_type="q8_0")
    assert relative_error(session.prefill_logits(ids[:-1]), torch_logits(reference, ids[:-1])) < 0.01
    session.prefill(ids[-1:])
    alone = model.new_session(256, kv_type="q8_0").prefill_logits(ids)[-1]
    np.testing.assert_allclose(session.logits(), alone, atol=1e-4)


def test_half_the_memory(tiny_gguf: Path, smollm2_gguf: Path) -> None:
    model = _native.Model.load(str(smollm2_gguf))
    f16, q8_0 = (model.new_session(2048, kv_type=kv_type) for kv_type in ("f16", "q8_0"))
    assert q8_0.kv_bytes * 64 == f16.kv_bytes * 34
    assert (f16.kv_bytes, q8_0.kv_bytes) == (model.kv_bytes(2048), model.kv_bytes(2048, "q8_0"))
    # Heads of 16 are half a group each, with a scale of their own.
    tiny = _native.Model.load(str(tiny_gguf))
    assert tiny.kv_bytes(96, "q8_0") * 32 == tiny.kv_bytes(96) * 18


def test_an_unknown_type_is_refused(tiny_gguf: Path) -> None:
    model = _native.Model.load(str(tiny_gguf))
    for call in (
        lambda: model.new_session(16, kv_type="q4_0"),
        lambda: model.kv_bytes(16, "Q8_0"),
        lambda: _native.Model.load(str(tiny_gguf), kv_type="int8"),
    ):
        with pytest.raises(ValueError, match=r"^KV cache type '.*' is not one of: f16, q8_0$"):
            call()


@pytest.fixture(scope="module")
def model(smollm2_gguf: Path) -> Any:
    return _native.Model.load(str(smollm2_gguf))


def test_divergence_of_2000_tokens(model: Any) -> None:
    """Against fp16, whose own divergence from float32 is a few ten thousandths."""
    tokens = english_tokens(model, 2000)
    divergences = []
    for begin in range(0, 2000, 500):
        chunk = tokens[begin : begin + 500]
        f16, q8_0 = (
            model.new_session(512, kv_type=kv_type).prefill_logits(chunk) for kv_type in ("f16", "q8_0")
        )
        divergences.append(kl_divergence(f16, q8_0))
    assert np.mean(divergences) < 0.002


def test_scores_with_q8_0(model: Any) -> None:
    tokens = english_tokens(model, 300)
    (f16, _), (q8_0, _) = (model.score([tokens], [200], kv_type=kv_type)[0] for kv_type in ("f16", "q8_0"))
    assert f16 != q8_0
    assert q8_0 / 200 == pytest.approx(f16 / 200, abs=0.02)
