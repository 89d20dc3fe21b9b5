"""Rounding by importance: the error it makes small, against plain rounding and a search of all scales."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from phonelm.formats import dequantize, quantize
from phonelm.formats.blocks import GRIDS
from phonelm.formats.weighted import can_weigh, column_weights, quantize_weighted

Floats = NDArray[np.float32]
TYPES = sorted(GRIDS)


def matrix(rows: int, seed: int) -> Floats:
    """Like a trained model's: heavy tails."""
    return (np.random.default_rng(seed).standard_t(6, (rows, 512)) * 0.02).astype(np.float32)


def errors(values: Floats, data: NDArray[np.uint8], type: str, weights: Floats) -> NDArray[np.float64]:
    """The squared error of each row, weighted by columns."""
    difference = dequantize(data, type).astype(np.float64) - values
    return (difference**2 * weights).sum(axis=-1)


@pytest.mark.parametrize("type", TYPES)
@given(
    arrays.arrays(np.float32, (2, 256), elements=st.floats(-100, 100, width=32, allow_subnormal=False)),
    arrays.arrays(np.float64, 256, elements=st.floats(0, 1e6)),
)
def test_never_worse_than_plain_rounding(type: str, values: Floats, squares: NDArray[np.float64]) -> None:
    weights = column_weights(squares)
    plain = errors(values, quantize(values, type), type, weights)
    weighted = errors(values, quantize_weighted(values, type, weights), type, weights)
    assert (weighted <= plain * (1 + 1e-5) + 1e-30).all()


@pytest.mark.parametrize("type", TYPES)
def test_much_better_where_columns_differ(type: str) -> None:
    values, squares = matrix(32, 1), np.random.default_rng(2).lognormal(0, 2, 512)
    weights = column_weights(squares)
    plain = errors(values, quantize(values, type), type, weights).sum()
    weighted = errors(values, quantize_weighted(values, type, weights), type, weights).sum()
    assert weighted < 0.9 * plain


@pytest.mark.parametrize("type", TYPES)
def test_equal_importance_is_no_worse_than_none(type: str) -> None:
    values, equal = matrix(32, 3), np.ones(512, np.float32)
    plain = errors(values, quantize(values, type), type, equal).sum()
    assert errors(values, quantize_weighted(values, type, equal), type, equal).sum() <= plain


def test_near_the_best_of_all_scales() -> None:
    """Q4_0 with every scale of a fine grid, its levels the nearest: the search finds nearly the best."""
    values = matrix(4, 4)[:, :32]
    weights = column_weights(np.random.default_rng(5).lognormal(0, 1, 32))
    largest = np.abs(values).max(axis=1, keepdims=True)
    best = np.full(4, np.inf)
    for fraction in np.concatenate([np.linspace(-0.3, -0.05, 4000), np.linspace(0.05, 0.3, 4000)]):
        scale = (largest * fraction).astype(np.float16).astype(np.float64)
        rounded = np.clip(np.rint(values / scale), -8, 7) * scale
        best = np.minimum(best, ((rounded - values) ** 2 * weights).sum(axis=1))
    found = errors(values, quantize_weighted(values, "q4_0", weights), "q4_0", weights)
    assert (found <= 1.1 * best).all()
    assert found.sum() <= 1.03 * best.sum()


@pytest.mark.parametrize("type", ["q4_1", "q4_k"])
def test_columns_that_outweigh_all_others(type: str) -> None:
    """As a few tokens' enormous inputs make them: sums of squares cancel, and chance must not decide."""
    values, squares = matrix(64, 10), np.ones(512)
    squares[7::32] = 1e6
    weights = column_weights(squares)
    plain = errors(values, quantize(values, type), type, weights).sum()
    assert errors(values, quantize_weighted(values, type, weights), type, weights).sum() < 0.12 * plain


def test_rows_do_not_depend_on_each_other() -> None:
    values, weights = matrix(600, 6), column_weights(np.random.default_rng(7).lognormal(0, 1, 512))
    together = quantize_weighted(values, "q4_k", weights)
    np.testing.assert_array_equal(together[577:], quantize_weighted(values[577:], "q4_k", weights))


def test_columns_that_no_input_used_still_count() -> None:
    squares = np.zeros(512)
    squares[:4] = 1
    assert (column_weights(squares) > 0).all()
    assert (column_weights(np.zeros(512)) == 1).all()
    values = matrix(4, 8)
    decoded = dequantize(quantize_weighted(values, "q4_0", column_weights(squares)), "q4_0")
    assert np.abs(decoded - values).max() < 0.5 * np.abs(values).max()


def test_bad_input_is_refused() -> None:
    values, weights = matrix(2, 9), np.ones(512, np.float32)
    with pytest.raises(ValueError, match="not finite"):
        column_weights(np.array([1.0, np.nan]))
    with pytest.raises(ValueError, match="negative"):
        column_weights(np.array([1.0, -1.0]))
    assert not can_weigh("q8_0")
    with pytest.raises(ValueError, match="q8_0 has no scales to search"):
        quantize_weighted(values, "q8_0", weights)
    with pytest.raises(ValueError, match="a weight for each column"):
        quantize_weighted(values, "q4_0", weights[:-32])
    with pytest.raises(ValueError, match="a multiple of 256"):
        quantize_weighted(values[:, :288], "q4_k", weights[:288])
    values[1, 3] = np.inf
    with pytest.raises(ValueError, match="not finite in Q4_0"):
        quantize_weighted(values, "q4_0", weights)
