from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from phonelm.formats import TENSOR_TYPES, dequantize, quantize

gguf = pytest.importorskip("gguf")

BLOCK_TYPES = ("Q8_0", "Q4_0", "Q4_1")
MATRICES = arrays.arrays(
    np.float32,
    st.tuples(st.integers(1, 3), st.sampled_from([32, 64, 96])),
    elements=st.floats(-1000, 1000, width=32, allow_subnormal=False).filter(
        lambda x: x == 0 or abs(x) > 1e-30
    ),
)


def reference(name: str) -> Any:
    return gguf.GGMLQuantizationType[name]


@pytest.mark.parametrize("name", TENSOR_TYPES)
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


@given(MATRICES, st.sampled_from(TENSOR_TYPES))
def test_bits_equal_on_odd_numbers(matrix: NDArray[np.float32], name: str) -> None:
    expected = gguf.quants.quantize(matrix, reference(name)).view(np.uint8)
    np.testing.assert_array_equal(quantize(matrix, name), expected)


@given(arrays.arrays(np.uint8, (4, 68), elements=st.integers(0, 255)))
def test_any_q8_0_bytes_decode_as_the_gguf_package_does(data: NDArray[np.uint8]) -> None:
    with np.errstate(invalid="ignore", over="ignore"):
        np.testing.assert_array_equal(
            dequantize(data, "q8_0"), gguf.quants.dequantize(data, reference("Q8_0"))
        )


@given(MATRICES, st.sampled_from(BLOCK_TYPES))
def test_error_is_within_a_step(matrix: NDArray[np.float32], name: str) -> None:
    blocks = matrix.reshape(-1, 32)
    span = {"Q8_0": 1 / 127, "Q4_0": 1 / 8, "Q4_1": 2 / 15}[name] * np.abs(blocks).max(axis=1, keepdims=True)
    difference = np.abs(dequantize(quantize(matrix, name), name).reshape(-1, 32) - blocks)
    # One step at the clipped end of Q4_0, half elsewhere; the scale itself is rounded to float16 (2^-11, or
    # 2^-25 where it is subnormal).
    assert (difference <= span * 1.01 + 16 * 2**-25 * 8).all()


def test_what_is_in_f16_comes_back() -> None:
    numbers = np.arange(0, 0x7C00, dtype=np.uint16).view(np.float16).astype(np.float32)
    np.testing.assert_array_equal(dequantize(quantize(numbers, "f16"), "f16"), numbers)


@pytest.mark.parametrize("name", TENSOR_TYPES)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_not_finite_are_refused(name: str, bad: float) -> None:
    matrix = np.ones((2, 64), np.float32)
    matrix[1, 40] = bad
    with pytest.raises(ValueError, match="not finite"):
        quantize(matrix, name)


@pytest.mark.parametrize("name", ["F16", "Q8_0", "Q4_0", "Q4_1", "BF16"])
def test_numbers_too_large_are_refused(name: str) -> None:
    row = np.array([-1, 1] * 16, np.float32) * np.finfo(np.float32).max
    with pytest.raises(ValueError, match="not finite"):
        quantize(row[None], name)


def test_bad_shapes_and_names() -> None:
    with pytest.raises(ValueError, match="not a multiple of 32"):
        quantize(np.zeros((2, 40), np.float32), "q4_0")
    with pytest.raises(ValueError, match="unknown weight type 'q5_k'; choose one of f32"):
        quantize(np.zeros((2, 32), np.float32), "q5_k")
    with pytest.raises(ValueError, match="not whole blocks"):
        dequantize(np.zeros((2, 33), np.uint8), "q8_0")
