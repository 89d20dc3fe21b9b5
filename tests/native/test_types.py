"""The quantized GGUF types: blocks to the bit as the `gguf` package's, products within the second int8 term,
on random, adversarial and real blocks; a whole model of each.
"""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from test_kernels import BLOCKS, ISAS, QUANTIZED, TYPES, columns, random_matrix

from phonelm import _native
from phonelm.arch import DecoderConfig
from phonelm.files import cache_folder
from phonelm.formats import QuantizedTensor, write_gguf, write_random_gguf

Floats = NDArray[np.float32]
Blocks = NDArray[np.uint8]
# Where a block has its float16 numbers.
HALVES = {"Q4_1": (0, 2), "Q5_1": (0, 2), "Q2_K": (80, 82), "Q3_K": (108,), "Q4_K": (0, 2), "Q5_K": (0, 2),
          "Q6_K": (208,)}  # fmt: skip
seeds = st.integers(0, 2**32 - 1)


def put_halves(blocks: Blocks, name: str, numbers: NDArray[np.float16]) -> None:
    for place, values in zip(HALVES.get(name, (0,)), numbers, strict=False):
        blocks[..., place : place + 2] = np.broadcast_to(values, blocks.shape[:-1])[..., None].view(np.uint8)


def meant(blocks: Blocks, name: str) -> Floats:
    """Float32 [rows, columns] of blocks [rows, number, bytes]."""
    rows = len(blocks)
    with np.errstate(all="ignore"):
        return gguf.quants.dequantize(blocks.reshape(rows, -1), TYPES[name]).reshape(rows, -1)


def unpacked(blocks: Blocks, name: str) -> Floats:
    rows, cols = len(blocks), blocks.shape[1] * BLOCKS[name.lower()][0]
    data = blocks.tobytes()
    return np.stack([_native.kernel_unpack_row(TYPES[name], data, rows, cols, r) for r in range(rows)])


def product(isa: str, blocks: Blocks, name: str, x: Floats, start: Floats | None = None) -> Floats:
    return _native.kernel_matmul(isa, TYPES[name], blocks.tobytes(), len(blocks), x.shape[1], x, start)


def assert_same_bits(result: Floats, expected: Floats) -> None:
    """But for the bits of NaN."""
    missing = np.isnan(expected)
    np.testing.assert_array_equal(np.isnan(result), missing)
    assert np.array_equal(result[~missing].view(np.uint32), expected[~missing].view(np.uint32))


def random_bytes(rng: np.random.Generator, name: str, rows: int, num_blocks: int) -> Blocks:
    return rng.integers(0, 256, (rows, num_blocks, BLOCKS[name.lower()][1]), dtype=np.uint8)


@pytest.mark.parametrize("name", QUANTIZED)
@settings(max_examples=30, deadline=None)
@given(rows=st.integers(1, 20), num_blocks=st.integers(1, 4), seed=seeds)
def test_any_bytes_are_decoded_as_by_gguf(name: str, rows: int, num_blocks: int, seed: int) -> None:
    """Scales of all kinds among them: negative, denormal, infinite, NaN."""
    blocks = random_bytes(np.random.default_rng(seed), name, rows, num_blocks)
    assert_same_bits(unpacked(blocks, name), meant(blocks, name))


@pytest.mark.parametrize("name", QUANTIZED)
@pytest.mark.parametrize("scale", [0.0, -0.0, 6e-8, -6.1e-5, 1 / 3, -1.0, 65504.0, -65504.0])
@pytest.mark.parametrize("fill", [0x00, 0xFF, 0x80, 0x7F, 0x0F, 0xF0, 0x55, 0xAA])
def test_patterns_are_decoded_as_by_gguf(name: str, scale: float, fill: int) -> None:
    blocks = np.full((17, 2, BLOCKS[name.lower()][1]), fill, np.uint8)
    put_halves(blocks, name, np.array([scale, -scale], np.float16))
    assert_same_bits(unpacked(blocks, name), meant(blocks, name))


def second_term_bound(x: Floats, weights: Floats) -> NDArray[np.float64]:
    """What one token's two int8 terms may miss: half a step of the second, in groups of 32 columns."""
    steps = np.abs(x).reshape(-1, 32).max(axis=1) / 127 / 254
    sums = np.abs(weights).astype(np.float64).reshape(len(weights), -1, 32).sum(axis=2)
    return 0.5001 * sums @ steps.astype(np.float64)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("name", QUANTIZED)
@settings(max_examples=25, deadline=None)
@given(rows=st.integers(1, 40), num_blocks=st.integers(1, 12), seed=seeds)
def test_one_token_is_right_within_the_second_term(
    isa: str, name: str, rows: int, num_blocks: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    cols = columns(name, num_blocks, 0)
    data, weights = random_matrix(rng, name, rows, cols)
    x = (rng.standard_normal(cols) * np.exp(rng.standard_normal(cols))).astype(np.float32)
    result = _native.kernel_matmul(isa, TYPES[name], data, rows, cols, x[None])[0]
    wide, exact = weights.astype(np.float64), x.astype(np.float64)
    rounding = 2e-6 * (np.abs(wide) @ np.abs(exact))
    assert np.all(np.abs(result - wide @ exact) <= second_term_bound(x, weights) + rounding)


@pytest.mark.parametrize("isa", [isa for isa in ISAS if isa != "scalar"])
@pytest.mark.parametrize("name", QUANTIZED)
@settings(max_examples=25, deadline=None)
@given(
    rows=st.integers(1, 70),
    num_blocks=st.integers(1, 12),
    tokens=st.integers(1, 40),
    share=st.sampled_from([0.0, 0.05, 0.5]),
    accumulate=st.booleans(),
    seed=seeds,
)
def test_products_are_those_of_the_scalar_kernel(
    isa: str, name: str, rows: int, num_blocks: int, tokens: int, share: float, accumulate: bool, seed: int
) -> None:
    """On activations that all kernels quantize alike: whole steps of either term in each group."""
    rng = np.random.default_rng(seed)
    cols = columns(name, num_blocks, 0)
    data, weights = random_matrix(rng, name, rows, cols)
    x = rng.integers(-126, 127, (tokens, cols // 32, 32)).astype(np.float32)
    x[:, :, 0] = 127
    large = rng.random((tokens, cols // 32, 1)) < share
    x = (x * np.where(large, 64, 1)).reshape(tokens, cols).astype(np.float32)
    start = rng.standard_normal((tokens, rows)).astype(np.float32) if accumulate else None
    args = (TYPES[name], data, rows, cols, x, start)
    expected = _native.kernel_matmul("scalar", *args)
    # The integer sums are equal; what differs is the order of float32 operations.
    scale = np.abs(x) @ np.abs(weights).T + 1
    assert np.all(np.abs(_native.kernel_matmul(isa, *args) - expected) <= 1e-6 * scale)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("name", QUANTIZED)
@pytest.mark.parametrize("fill", [0x00, 0xFF, 0x88])
def test_the_largest_sums_do_not_overflow(isa: str, name: str, fill: int) -> None:
    """All levels and sub-scales at an end of their ranges, against activations of one sign."""
    num_blocks = 2 if BLOCKS[name.lower()][0] == 256 else 8
    blocks = np.full((16, num_blocks, BLOCKS[name.lower()][1]), fill, np.uint8)
    put_halves(blocks, name, np.array([0.5, 0.25], np.float16))
    weights = meant(blocks, name)
    for tokens in (1, 20):
        x = np.full((tokens, weights.shape[1]), 3.0, np.float32)
        x[::2] *= -1
        scale = np.abs(x) @ np.abs(weights).T
        assert np.all(np.abs(product(isa, blocks, name, x) - x @ weights.T) <= 2e-5 * scale)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("name", QUANTIZED)
def test_a_broken_scale_stays_in_its_row(isa: str, name: str) -> None:
    rng = np.random.default_rng(0)
    blocks = random_bytes(rng, name, 20, 2)
    put_halves(blocks, name, np.array([0.01, -0.02], np.float16))
    x = rng.standard_normal((5, blocks.shape[1] * BLOCKS[name.lower()][0])).astype(np.float32)
    sane = product(isa, blocks, name, x)
    put_halves(blocks[3], name, np.array([np.nan, np.inf], np.float16))
    put_halves(blocks[17], name, np.array([np.inf, -np.inf], np.float16))
    broken = product(isa, blocks, name, x)
    assert not np.isfinite(broken[:, [3, 17]]).any()
    others = np.setdiff1d(np.arange(20), [3, 17])
    np.testing.assert_array_equal(broken[:, others], sane[:, others])


CONFIG = DecoderConfig(
    vocab_size=320, hidden_size=256, num_layers=2, num_heads=4, num_kv_heads=2, head_dim=64,
    intermediate_size=512, context_length=128, tie_embeddings=True,
)  # fmt: skip
RELU = CONFIG.model_copy(update={"activation": "relu"})


def as_floats(path: Path, out: Path) -> None:
    """The same model with its weights in F32, as the `gguf` package means them."""
    reader = gguf.GGUFReader(path)
    metadata = {key: field.contents() for key, field in reader.fields.items() if not key.startswith("GGUF.")}
    tensors = []
    for tensor in reader.tensors:
        shape = tuple(int(size) for size in tensor.shape[::-1])
        values = gguf.quants.dequantize(tensor.data, tensor.tensor_type).reshape(shape)
        tensors.append((tensor.name, QuantizedTensor("F32", shape, values.reshape(-1).view(np.uint8))))
    write_gguf(out, metadata, tensors)


@pytest.mark.parametrize("config", [CONFIG, RELU], ids=["silu", "relu"])
@pytest.mark.parametrize("name", QUANTIZED)
def test_a_model_of_the_type_gives_its_floats_logits(
    tmp_path: Path, name: str, config: DecoderConfig
) -> None:
    """Prompt and single tokens; the embedding has the type too."""
    write_random_gguf(tmp_path / "quantized.gguf", config, name.lower(), name.lower())
    as_floats(tmp_path / "quantized.gguf", tmp_path / "floats.gguf")
    ids = np.random.default_rng(0).integers(0, 256, 40).tolist()
    logits = []
    for file in ("quantized", "floats"):
        session = _native.Model.load(str(tmp_path / f"{file}.gguf"), num_threads=1).new_session(64)
        prompt = session.prefill_logits(ids[:-2])
        rest = [session.prefill_logits([token]) for token in ids[-2:]]
        logits.append(np.concatenate([prompt, *rest]))
    error = logits[0] - logits[1]
    assert np.sqrt(np.mean(error**2)) < 0.02 * logits[1].std()
    # Single tokens have two terms in every group.
    assert np.sqrt(np.mean(error[-2:] ** 2)) < 0.02 * logits[1].std()


def real_files() -> list[Path]:
    return sorted((cache_folder() / "models").glob("*.gguf"))


@pytest.mark.skipif(not real_files(), reason="no model has been fetched")
@pytest.mark.parametrize("path", real_files(), ids=lambda path: path.stem)
def test_tensors_of_real_files(path: Path) -> None:
    """The first matrix of each type in the file: rows to the bit, products within the second term."""
    first = {t.tensor_type: t for t in reversed(gguf.GGUFReader(path).tensors) if len(t.shape) == 2}
    for kind, tensor in first.items():
        if kind.name not in QUANTIZED:
            continue
        blocks = np.ascontiguousarray(tensor.data[:64]).reshape(
            min(64, int(tensor.shape[1])), -1, BLOCKS[kind.name.lower()][1]
        )
        weights = meant(blocks, kind.name)
        assert_same_bits(unpacked(blocks, kind.name), weights)
        x = np.random.default_rng(0).standard_normal(weights.shape[1]).astype(np.float32)
        expected = weights.astype(np.float64) @ x.astype(np.float64)
        bound = second_term_bound(x, weights) + 2e-6 * (np.abs(weights) @ np.abs(x))
        for isa in ISAS:
            assert np.all(np.abs(product(isa, blocks, kind.name, x[None])[0] - expected) <= bound)
