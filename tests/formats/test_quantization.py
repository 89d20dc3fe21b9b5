from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from phonelm.arch.arithmetic import BLOCKS
from phonelm.formats import TENSOR_TYPES, dequantize, quantize

gguf = pytest.importorskip("gguf")

SEARCHED_TYPES = ("IQ4_NL", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K")
"""Those whose scales the format leaves to the writer, and for which the gguf package has no writer."""
FIXED_TYPES = tuple(name for name in TENSOR_TYPES if name not in SEARCHED_TYPES)
SIMPLE_TYPES = ("Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1")
BLOCK_TYPES = (*SIMPLE_TYPES, *SEARCHED_TYPES)
MATRICES = arrays.arrays(
    np.float32,
    st.tuples(st.integers(1, 3), st.sampled_from([32, 64, 96])),
    elements=st.floats(-1000, 1000, width=32, allow_subnormal=False).filter(
        lambda x: x == 0 or abs(x) > 1e-30
    ),
)


def reference(name: str) -> Any:
    return gguf.GGMLQuantizationType[name]


def weights(shape: tuple[int, int], seed: int) -> NDArray[np.float32]:
    """Like a trained model's: heavy tails, rows of different size."""
    rng = np.random.default_rng(seed)
    rows = rng.exponential(1, (shape[0], 1))
    return (rng.standard_t(6, shape) * rows * 0.02).astype(np.float32)


@pytest.mark.parametrize("name", FIXED_TYPES)
def test_bits_equal_those_of_the_gguf_package(name: str) -> None:
    rng = np.random.default_rng(1)
    matrix = rng.standard_normal((700, 320), dtype=np.float32) * rng.exponential(1, (700, 1)).astype(
        np.float32
    )
    matrix[3] = 0
    expected = gguf.quants.quantize(matrix, reference(name)).view(np.uint8)
    encoded = quantize(matrix, name)
    np.testing.assert_array_equal(encoded, expected)
    np.testing.assert_array_equal(
        dequantize(encoded, name), gguf.quants.dequantize(expected, reference(name))
    )


@given(MATRICES, st.sampled_from(FIXED_TYPES))
def test_bits_equal_on_odd_numbers(matrix: NDArray[np.float32], name: str) -> None:
    expected = gguf.quants.quantize(matrix, reference(name)).view(np.uint8)
    np.testing.assert_array_equal(quantize(matrix, name), expected)


@given(st.sampled_from(BLOCK_TYPES), st.integers(0, 2**32))
def test_any_bytes_decode_as_the_gguf_package_does(name: str, seed: int) -> None:
    data = np.random.default_rng(seed).integers(0, 256, (3, 2 * BLOCKS[name.lower()][1]), np.uint8)
    with np.errstate(invalid="ignore", over="ignore"):
        np.testing.assert_array_equal(dequantize(data, name), gguf.quants.dequantize(data, reference(name)))


@given(MATRICES, st.sampled_from(SIMPLE_TYPES))
def test_error_is_within_a_step(matrix: NDArray[np.float32], name: str) -> None:
    blocks = matrix.reshape(-1, 32)
    steps = {"Q8_0": 1 / 127, "Q4_0": 1 / 8, "Q4_1": 2 / 15, "Q5_0": 1 / 16, "Q5_1": 2 / 31}
    span = steps[name] * np.abs(blocks).max(axis=1, keepdims=True)
    difference = np.abs(dequantize(quantize(matrix, name), name).reshape(-1, 32) - blocks)
    # One step at the clipped end of Q4_0 and Q5_0, half elsewhere; the scale itself is rounded to float16
    # (2^-11, or 2^-25 where it is subnormal).
    assert (difference <= span * 1.01 + 32 * 2**-25 * 8).all()


def rounded_by_extremes(matrix: NDArray[np.float32], name: str) -> NDArray[np.float32]:
    """Plain rounding with a type's groups, levels and bits of scales: from the least and largest number."""
    size, levels, scale_levels, has_minimum = {
        "Q2_K": (16, 3, 15, True), "Q4_K": (32, 15, 63, True), "Q5_K": (32, 31, 63, True),
        "Q3_K": (16, 4, 31, False), "Q6_K": (16, 32, 127, False), "IQ4_NL": (32, 8, None, False),
    }[name]  # fmt: skip
    groups = matrix.reshape(-1, 256 // size, size)

    def stored(scales: NDArray[np.float32]) -> NDArray[np.float32]:
        unit = np.abs(scales).max(axis=1, keepdims=True) / (scale_levels or 1)
        return np.rint(scales / unit) * unit if scale_levels else scales

    if has_minimum:
        low = -np.minimum(groups.min(axis=2, keepdims=True), 0)
        step = stored((groups.max(axis=2, keepdims=True) + low) / levels)
        low = stored(low)
        return (np.clip(np.rint((groups + low) / step), 0, levels) * step - low).reshape(matrix.shape)
    largest = np.take_along_axis(groups, np.abs(groups).argmax(axis=2, keepdims=True), axis=2)
    step = stored(largest / -levels)
    return (np.clip(np.rint(groups / step), -levels, levels - 1) * step).reshape(matrix.shape)


@pytest.mark.parametrize("name", SEARCHED_TYPES)
def test_the_search_beats_rounding_by_extremes(name: str) -> None:
    matrix = weights((64, 1024), 2)
    encoded = quantize(matrix, name)
    decoded = gguf.quants.dequantize(encoded, reference(name))
    np.testing.assert_array_equal(dequantize(encoded, name), decoded)

    def error(found: NDArray[np.float32]) -> float:
        return float((np.abs(matrix) * np.square(found - matrix)).sum())

    assert error(decoded) < 0.97 * error(rounded_by_extremes(matrix, name))


@pytest.mark.parametrize("name", SEARCHED_TYPES)
def test_what_lies_on_levels_comes_back(name: str) -> None:
    """Blocks of a few levels, all of which the type can express: nothing is lost but the scale's rounding."""
    levels = {"IQ4_NL": [-127, -22, 1, 113], "Q2_K": [0, 1, 2, 3], "Q5_K": [0, 5, 17, 31]}.get(
        name, [-4, -2, 0, 3]
    )
    matrix = np.random.default_rng(3).choice(np.array(levels, np.float32), (8, 512))
    matrix[:, ::16], matrix[:, 1::16] = levels[0], levels[-1]
    np.testing.assert_allclose(dequantize(quantize(matrix, name), name), matrix, rtol=0.02, atol=0.02)


@pytest.mark.parametrize("name", SEARCHED_TYPES)
def test_empty_and_tiny_blocks(name: str) -> None:
    matrix = np.zeros((4, 256), np.float32)
    matrix[1] = 1e-12
    matrix[2, 5] = -3.0
    matrix[3] = 2.0
    decoded = dequantize(quantize(matrix, name), name)
    assert np.isfinite(decoded).all()
    assert (decoded[0] == 0).all()
    np.testing.assert_allclose(decoded[1], 0, atol=1e-6)
    # The level nearest to zero of IQ4_NL is 1 of 127.
    np.testing.assert_allclose(decoded[2:], matrix[2:], rtol=0.02, atol=0.03)


@given(
    arrays.arrays(np.float32, (2, 256), elements=st.floats(-1000, 1000, width=32, allow_subnormal=False)),
    st.sampled_from(SEARCHED_TYPES),
)
def test_error_is_within_the_range_of_a_block(matrix: NDArray[np.float32], name: str) -> None:
    difference = np.abs(dequantize(quantize(matrix, name), name) - matrix)
    limit = {"Q2_K": 0.75, "Q3_K": 0.5, "IQ4_NL": 0.25, "Q4_K": 0.25, "Q5_K": 0.15, "Q6_K": 0.1}[name]
    assert (difference <= limit * np.abs(matrix).max(axis=1, keepdims=True) + 1e-3).all()


def test_what_is_in_f16_comes_back() -> None:
    numbers = np.arange(0, 0x7C00, dtype=np.uint16).view(np.float16).astype(np.float32)
    np.testing.assert_array_equal(dequantize(quantize(numbers, "f16"), "f16"), numbers)


@pytest.mark.parametrize("name", TENSOR_TYPES)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_not_finite_are_refused(name: str, bad: float) -> None:
    matrix = np.ones((2, 256), np.float32)
    matrix[1, 40] = bad
    with pytest.raises(ValueError, match="not finite"):
        quantize(matrix, name)


@pytest.mark.parametrize("name", [name for name in TENSOR_TYPES if name != "F32"])
def test_numbers_too_large_are_refused(name: str) -> None:
    row = np.array([-1, 1] * 128, np.float32) * np.finfo(np.float32).max
    with pytest.raises(ValueError, match="not finite"):
        quantize(row[None], name)


def test_bad_shapes_and_names() -> None:
    with pytest.raises(ValueError, match="not a multiple of 32"):
        quantize(np.zeros((2, 40), np.float32), "q4_0")
    with pytest.raises(ValueError, match="not a multiple of 256, as Q5_K needs"):
        quantize(np.zeros((2, 96), np.float32), "q5_k")
    with pytest.raises(ValueError, match="unknown weight type 'q9_k'; choose one of f32"):
        quantize(np.zeros((2, 32), np.float32), "q9_k")
    with pytest.raises(ValueError, match="not whole blocks"):
        dequantize(np.zeros((2, 33), np.uint8), "q8_0")
