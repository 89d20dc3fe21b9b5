"""ReLU FFNs stored neuron by neuron: the kernels against numpy, the model against its dense twin."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_graph import SHAPES, convert, random_ids, relative_error, save_checkpoint
from test_kernels import TYPES, random_matrix, rounded_activations

from phonelm import _native
from phonelm.arch import DecoderConfig
from phonelm.formats import write_random_gguf

ISAS = _native.cpu_info()["isas"]
NEURON_TYPES = ("Q4_0", "Q8_0")
seeds = st.integers(0, 2**32 - 1)


def sparse_vector(rng: np.random.Generator, size: int, live: float) -> np.ndarray:
    values = rng.standard_normal(size).astype(np.float32)
    values[rng.random(size) >= live] = 0
    return values


def rounded(x: np.ndarray) -> np.ndarray:
    """What a token's int8 groups keep of `x`, whose groups may be all zero."""
    with np.errstate(invalid="ignore"):
        return np.nan_to_num(rounded_activations(x[None])[0])


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("name", NEURON_TYPES)
@settings(max_examples=40, deadline=None)
@given(rows=st.integers(1, 40), pairs=st.integers(1, 20), seed=seeds)
def test_rows_of_some_neurons(isa: str, name: str, rows: int, pairs: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    cols = 64 * pairs
    blocks, matrix = random_matrix(rng, name, rows, cols)
    x = rng.standard_normal(cols).astype(np.float32)
    x[: 32 * int(rng.integers(3))] = 0  # groups without a scale
    neurons = np.flatnonzero(rng.random(rows) < 0.5).tolist()
    result = _native.kernel_neuron_rows(isa, TYPES[name], blocks, rows, neurons, x)
    expected = np.zeros(rows)
    expected[neurons] = matrix[neurons].astype(np.float64) @ rounded(x)
    tolerance = 1e-5 * np.abs(matrix).max() * np.abs(x).max() * cols
    np.testing.assert_allclose(result, expected, atol=tolerance + 1e-6)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("name", NEURON_TYPES)
@settings(max_examples=40, deadline=None)
@given(
    pieces=st.integers(1, 4),
    groups=st.integers(1, 9),
    live=st.sampled_from([0.0, 0.05, 0.5, 1.0]),
    seed=seeds,
)
def test_columns_without_the_dead(
    isa: str, name: str, pieces: int, groups: int, live: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    rows, cols = 64 * pieces, 32 * groups
    blocks, matrix = random_matrix(rng, name, rows, cols)
    x = sparse_vector(rng, cols, live)
    begin = 64 * int(rng.integers(pieces))
    end = begin + 64 * int(rng.integers(0, pieces - begin // 64 + 1))
    result = _native.kernel_neuron_columns(isa, TYPES[name], blocks, rows, begin, end, x)
    expected = np.ones(rows)
    expected[begin:end] += matrix[begin:end].astype(np.float64) @ rounded(x)
    tolerance = 1e-5 * np.abs(matrix).max() * np.abs(x).max() * cols
    np.testing.assert_allclose(result, expected, atol=tolerance + 1e-6)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("name", NEURON_TYPES)
@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_extreme_quants_do_not_overflow(isa: str, name: str, sign: float) -> None:
    """All neurons live, weights and activations at the ends of their ranges."""
    for weight in (-1.0, 1.0):
        matrix = np.full((64, 64), weight, np.float32)
        blocks = gguf.quants.quantize(matrix, TYPES[name])
        meant = gguf.quants.dequantize(blocks, TYPES[name]).reshape(64, 64)
        x = np.full(64, sign * 3.0, np.float32)
        columns = _native.kernel_neuron_columns(isa, TYPES[name], blocks.tobytes(), 64, 0, 64, x)
        np.testing.assert_allclose(columns, 1 + meant @ x, rtol=1e-4)
        rows = _native.kernel_neuron_rows(isa, TYPES[name], blocks.tobytes(), 64, list(range(64)), x)
        np.testing.assert_allclose(rows, meant @ x, rtol=1e-4)


@pytest.mark.parametrize("way", ["rows", "columns"])
@pytest.mark.parametrize("name", NEURON_TYPES)
def test_a_batch_gets_the_same_panels(name: str, way: str) -> None:
    rng = np.random.default_rng(3)
    rows, cols = 128, 192
    blocks, _ = random_matrix(rng, name, rows, cols)
    panels = _native.packed_panels("panels", TYPES[name], blocks, rows, cols)
    assert _native.packed_panels(way, TYPES[name], blocks, rows, cols) == panels


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("block_type", ["q4_0", "q8_0"])
@pytest.mark.parametrize("kind", [{"hidden_act": "relu"}, {"hidden_act": "relu2", "ffn_gated": False}])
def test_skipping_dead_neurons_is_exact(
    tmp_path: Path, isa: str, block_type: str, kind: dict[str, object]
) -> None:
    save_checkpoint(tmp_path, "phonelm", hidden_size=128, **kind, **SHAPES["gqa"])
    path = str(convert(tmp_path, block_type))
    sparse, dense = (
        _native.Model.load(path, isa, sparse_ffn=choice).new_session(256) for choice in (True, False)
    )
    ids = random_ids()
    for session in (sparse, dense):
        session.prefill(ids[:40])
    assert np.array_equal(sparse.logits(), dense.logits())
    for token in ids[40:]:
        sparse.prefill([token])
        dense.prefill([token])
        assert relative_error(sparse.logits(), dense.logits()) < 2e-4
    live = sparse.live_fractions()
    assert len(live) == 3
    assert all(0.2 < fraction < 0.8 for fraction in live)
    assert dense.live_fractions() == []


def test_a_wanted_share_of_neurons_is_dead(tmp_path: Path) -> None:
    config = DecoderConfig(
        vocab_size=2048, hidden_size=512, num_layers=4, num_heads=4, num_kv_heads=4, head_dim=64,
        intermediate_size=1024, activation="relu",
    )  # fmt: skip
    write_random_gguf(tmp_path / "a.gguf", config, dead_fraction=0.9)
    session = _native.Model.load(str(tmp_path / "a.gguf")).new_session(200)
    for token in np.random.default_rng(0).integers(300, 2048, 200).tolist():
        session.prefill([token])
    assert session.live_fractions() == pytest.approx([0.1] * 4, abs=0.02)


def test_no_fractions_without_relu_or_decoded_tokens(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, "llama", hidden_size=128, **SHAPES["gqa"])
    session = _native.Model.load(str(convert(tmp_path, "q4_0"))).new_session(16)
    session.prefill([1])
    assert session.live_fractions() == []
