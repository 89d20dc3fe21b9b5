"""Every kernel of every instruction set against the scalar one, and all against numpy and `gguf`."""

from __future__ import annotations

import gguf
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phonelm import _native
from phonelm.arch.arithmetic import BLOCKS
from phonelm.formats.random_blocks import random_blocks

ISAS = _native.cpu_info()["isas"]
FLOATS = ("F32", "F16", "BF16")
QUANTIZED = tuple(name.upper() for name in BLOCKS if name.upper() not in FLOATS)
TYPES = {name: gguf.GGMLQuantizationType[name] for name in FLOATS + QUANTIZED}

NORMS = {
    "rmsnorm": lambda x, eps: x / np.sqrt(np.mean(x**2) + eps),
    "layernorm": lambda x, eps: (x - x.mean()) / np.sqrt(x.var() + eps),
}

rows_strategy = st.integers(1, 70)
tokens_strategy = st.integers(1, 40)
seeds = st.integers(0, 2**32 - 1)


def random_matrix(rng: np.random.Generator, name: str, rows: int, cols: int) -> tuple[bytes, np.ndarray]:
    """A random matrix as GGUF blocks, and what the blocks mean by the `gguf` package."""
    if name in FLOATS:
        blocks = gguf.quants.quantize(rng.standard_normal((rows, cols)).astype(np.float32), TYPES[name])
    else:
        blocks = random_blocks((rows, cols), name.lower(), 1.0, rng)
    return blocks.tobytes(), gguf.quants.dequantize(blocks, TYPES[name]).reshape(rows, cols)


def columns(name: str, num_blocks: int, tail: int) -> int:
    """Whole blocks; for float types any number."""
    size = BLOCKS[name.lower()][0]
    if name in FLOATS:
        return 32 * (num_blocks - 1) + tail
    return 32 * num_blocks if size == 32 else size * -(-num_blocks // 4)


def rounded_activations(x: np.ndarray) -> np.ndarray:
    """What int8 groups of 32 keep of `x`: one term, and a second one for groups with outliers."""
    groups = x.reshape(len(x), -1, 32)
    largest = np.abs(groups).max(axis=2, keepdims=True)
    scales = largest / np.float32(127)
    first = np.rint(groups / scales) * scales
    second = np.rint((groups - first) / (scales / 254)) * (scales / 254)
    # Every group of a single token; in a batch, those well above the root mean square.
    limit = 0 if len(x) == 1 else 1.25
    has_second = largest > limit * np.sqrt(np.mean(largest**2, axis=1, keepdims=True))
    return (first + np.where(has_second, second, 0)).reshape(x.shape).astype(np.float32)


@pytest.mark.parametrize("name", TYPES)
@settings(max_examples=40, deadline=None)
@given(rows=rows_strategy, num_blocks=st.integers(1, 9), tail=st.integers(1, 32), seed=seeds)
def test_packing_keeps_every_value(name: str, rows: int, num_blocks: int, tail: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    cols = columns(name, num_blocks, tail)
    blocks, matrix = random_matrix(rng, name, rows, cols)
    row = int(rng.integers(rows))
    unpacked = _native.kernel_unpack_row(TYPES[name], blocks, rows, cols, row)
    np.testing.assert_array_equal(unpacked, matrix[row])


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("name", TYPES)
@settings(max_examples=25, deadline=None)
@given(
    rows=rows_strategy,
    num_blocks=st.integers(1, 9),
    tail=st.integers(1, 32),
    tokens=tokens_strategy,
    seed=seeds,
)
def test_matmul(isa: str, name: str, rows: int, num_blocks: int, tail: int, tokens: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    cols = columns(name, num_blocks, tail)
    blocks, matrix = random_matrix(rng, name, rows, cols)
    x = rng.standard_normal((tokens, cols)).astype(np.float32)
    result = _native.kernel_matmul(isa, TYPES[name], blocks, rows, cols, x)
    if name in QUANTIZED:
        x = rounded_activations(x)
    expected = x.astype(np.float64) @ matrix.T.astype(np.float64)
    scale = np.abs(x).astype(np.float64) @ np.abs(matrix).T.astype(np.float64)
    # One int8 step where a value lies on the edge between two, float32 rounding elsewhere.
    tolerance = 1e-6 * cols + (0.03 if name in QUANTIZED else 0)
    assert np.all(np.abs(result - expected) <= tolerance * scale / np.sqrt(cols) + 1e-6)
    scalar = _native.kernel_matmul("scalar", TYPES[name], blocks, rows, cols, x.astype(np.float32))
    again = _native.kernel_matmul(isa, TYPES[name], blocks, rows, cols, x.astype(np.float32))
    np.testing.assert_allclose(again, scalar, atol=float(scale.max()) * 2e-6 + 1e-6)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("name", ["Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1"])
def test_extreme_quants_do_not_overflow(isa: str, name: str) -> None:
    """Weights and activations at the ends of their ranges: the sums of products are the largest there are."""
    rows, cols = 16, 64
    for weight in (-1.0, 1.0):
        for sign in (-1.0, 1.0):
            matrix = np.full((rows, cols), weight, np.float32)
            blocks = gguf.quants.quantize(matrix, TYPES[name])
            meant = gguf.quants.dequantize(blocks, TYPES[name]).reshape(rows, cols)
            x = np.full((2, cols), sign * 3.0, np.float32)
            result = _native.kernel_matmul(isa, TYPES[name], blocks.tobytes(), rows, cols, x)
            np.testing.assert_allclose(result, x @ meant.T, rtol=1e-4)


def test_most_negative_int8_weight() -> None:
    """-128 is legal in Q8_0 though quantizers do not write it; its absolute value does not fit into int8."""
    block = np.float16(0.5).tobytes() + np.full(32, -128, np.int8).tobytes()
    x = np.full((1, 32), 2.0, np.float32)
    for isa in ISAS:
        result = _native.kernel_matmul(isa, TYPES["Q8_0"], block * 16, 16, 32, x)
        np.testing.assert_allclose(result, np.full((1, 16), -128 * 0.5 * 2.0 * 32), rtol=1e-5)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("may_round", [False, True])
@settings(max_examples=40, deadline=None)
@given(num_k=st.integers(1, 300), rows=st.integers(1, 40), seed=seeds)
def test_half_panel(isa: str, may_round: bool, num_k: int, rows: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    w = rng.standard_normal((num_k, 16)).astype(np.float16)
    a = rng.standard_normal((rows, num_k)).astype(np.float32)
    result = _native.kernel_half_panel(isa, w.view(np.uint16), a, may_round)
    wide = w.astype(np.float32)
    # bfloat16 keeps 8 bits: each side of a product is off by 2^-8 of itself at most.
    bound = 2.02 * 2**-8 * (np.abs(a) @ np.abs(wide)) if may_round else 0
    assert np.all(np.abs(result - a @ wide) <= bound + 1e-4)


@pytest.mark.parametrize("isa", ISAS)
@settings(max_examples=40, deadline=None)
@given(size=st.integers(1, 200), seed=seeds)
def test_elementwise(isa: str, size: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, y = (rng.standard_normal((2, size)) * 4).astype(np.float32)
    for kind, reference in NORMS.items():
        normed = reference(x.astype(np.float64), 1e-5)
        for weight, bias, expected in [
            (y, None, normed * y), (None, None, normed), (y, x, normed * y + x), (None, y, normed + y)
        ]:  # fmt: skip
            norm = _native.kernel_norm(isa, kind, x, weight, bias, 1e-5)
            np.testing.assert_allclose(norm, expected, rtol=1e-4, atol=1e-5)

    positive = np.maximum(x, 0)
    wide = x.astype(np.float64)
    silu = wide / (1 + np.exp(-wide))
    gelu_tanh = wide * (1 + np.tanh(np.sqrt(2 / np.pi) * (wide + 0.044715 * wide**3))) / 2
    activated = {"silu": silu, "relu": positive, "relu2": positive**2, "gelu_tanh": gelu_tanh}
    for kind, value in activated.items():
        np.testing.assert_allclose(_native.kernel_activate(isa, kind, x, y), value * y, rtol=1e-5, atol=1e-6)

    weights = np.exp(x.astype(np.float64) * 5 - x.max() * 5)
    np.testing.assert_allclose(
        _native.kernel_softmax(isa, x * 5), weights / weights.sum(), rtol=2e-5, atol=1e-9
    )


@pytest.mark.parametrize("isa", ISAS)
@given(values=st.lists(st.floats(width=32, allow_nan=False), min_size=1, max_size=40))
@settings(max_examples=60, deadline=None)
def test_to_half_rounds_as_numpy(isa: str, values: list[float]) -> None:
    x = np.array(values, np.float32)
    with np.errstate(over="ignore"):
        expected = x.astype(np.float16)
    assert np.array_equal(np.array(_native.kernel_to_half(isa, x), np.uint16), expected.view(np.uint16))


def test_unknown_instruction_set_is_refused() -> None:
    with pytest.raises(ValueError, match="instruction set 'sse9' is not known"):
        _native.kernel_softmax("sse9", np.zeros(4, np.float32))
