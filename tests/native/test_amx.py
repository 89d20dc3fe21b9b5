"""The AMX kernels against the scalar ones: on a model of the tile unit, and on a real one if there is one."""

from __future__ import annotations

import gguf
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from phonelm import _native
from phonelm.formats.random_blocks import random_blocks

ISAS = _native.cpu_info()["isas"]
QUANTIZED = ("Q4_0", "Q4_1", "Q8_0")
UNPACKED_BY_AVX512 = ("Q5_0", "Q5_1", "IQ4_NL", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K")
TYPES = {name: gguf.GGMLQuantizationType[name] for name in (*QUANTIZED, *UNPACKED_BY_AVX512, "F16")}
NAMES = ("amx-emulated", "amx") if "amx" in ISAS else ("amx-emulated",)
UNTOUCHED = 7.0

pytestmark = pytest.mark.skipif("avx512" not in ISAS, reason="what is around the tiles is AVX-512")


def matmul(
    name: str, blocks: NDArray[np.uint8], kind: str, x: NDArray[np.float32], start: NDArray[np.float32] | None
) -> NDArray[np.float32]:
    """`x` times the blocks' matrix, plus `start`; the row behind the last must stay as it is."""
    rows = len(blocks)
    out = np.full((len(x) + 1, -(-rows // 16) * 16), UNTOUCHED, np.float32)
    if start is not None:
        out[:-1, :rows] = start
    _native.kernel_matmul_into(name, TYPES[kind], blocks.tobytes(), rows, x, out, start is not None)
    assert np.all(out[-1] == UNTOUCHED)
    return out[:-1, :rows]


def with_outliers(rng: np.random.Generator, tokens: int, cols: int, share: float) -> NDArray[np.float32]:
    """Normal rows of which a share of the groups of 32 is large enough for a second int8 term."""
    x = rng.standard_normal((tokens, cols))
    large = rng.random((tokens, -(-cols // 32))) < share
    return (x * np.where(large, 20, 1).repeat(32, axis=1)[:, :cols]).astype(np.float32)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", QUANTIZED)
@settings(max_examples=30, deadline=None)
@given(
    rows=st.integers(1, 100),
    num_groups=st.integers(1, 40),
    tokens=st.integers(1, 70),
    share=st.sampled_from([0.0, 0.02, 0.1, 0.5]),
    accumulate=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_matmul_is_the_scalar_one(
    name: str,
    kind: str,
    rows: int,
    num_groups: int,
    tokens: int,
    share: float,
    accumulate: bool,
    seed: int,
) -> None:
    rng = np.random.default_rng(seed)
    matrix = rng.standard_normal((rows, 32 * num_groups)).astype(np.float32)
    blocks = gguf.quants.quantize(matrix, TYPES[kind])
    x = with_outliers(rng, tokens, 32 * num_groups, share)
    start = rng.standard_normal((tokens, rows)).astype(np.float32) if accumulate else None
    expected = matmul("scalar", blocks, kind, x, start)
    # The integer sums are equal; what differs is the order of float32 additions.
    scale = np.abs(x) @ np.abs(gguf.quants.dequantize(blocks, TYPES[kind])).T + 1
    assert np.all(np.abs(matmul(name, blocks, kind, x, start) - expected) <= 1e-6 * scale)


@pytest.mark.parametrize("name", NAMES)
def test_extreme_quants(name: str) -> None:
    """-128 is legal in Q8_0, and the largest sums of products must fit."""
    block = np.frombuffer(np.float16(0.5).tobytes() + np.full(32, -128, np.int8).tobytes(), np.uint8)
    x = np.full((16, 64), 3.0, np.float32)
    x[1] = -3.0
    result = matmul(name, np.tile(block, (16, 2)), "Q8_0", x, None)
    np.testing.assert_allclose(result, x.sum(axis=1, keepdims=True) * np.full((1, 16), -64.0), rtol=1e-5)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("kind", "tokens"), [("F16", 20), ("Q4_0", 1), ("Q4_0", 15), *((kind, 20) for kind in UNPACKED_BY_AVX512)]
)
def test_the_rest_is_avx512s(name: str, kind: str, tokens: int) -> None:
    rng = np.random.default_rng(0)
    if kind == "F16":
        blocks = rng.standard_normal((20, 256)).astype(np.float16).view(np.uint8)
    else:
        blocks = random_blocks((20, 256), kind.lower(), 1.0, rng).reshape(20, -1)
    x = with_outliers(rng, tokens, 256, 0.1)
    assert np.array_equal(matmul(name, blocks, kind, x, None), matmul("avx512", blocks, kind, x, None))


def test_users_cannot_choose_what_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    x = np.zeros(4, np.float32)
    assert "amx-emulated" not in ISAS
    assert "amx" not in ISAS[:-1]
    for name in {"amx", "amx-emulated"} - set(ISAS):
        monkeypatch.setenv("PHONELM_ISA", name)
        with pytest.raises(ValueError, match=f"'{name}' is not known or not in this machine; take"):
            _native.kernel_softmax("", x)
