"""Compensated rounding against GPTQ as its paper writes it, in float64 without Cholesky factors."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from phonelm.formats import dequantize, quantize
from phonelm.formats.blocks import GRIDS
from phonelm.formats.compensation import DAMPING, Compensation, quantize_compensated, upper_factor
from phonelm.formats.weighted import column_weights, quantize_weighted

Doubles = NDArray[np.float64]
TYPES = ("q4_0", "q4_1", "q4_k", "q3_k")


def inputs(columns: int, seed: int) -> Doubles:
    """Rows whose columns are correlated and of different sizes."""
    rng = np.random.default_rng(seed)
    mixed = rng.standard_normal((2048, columns)) + rng.standard_normal((2048, 8)) @ rng.standard_normal(
        (8, columns)
    )
    return mixed * rng.lognormal(0, 0.5, columns)


def matrix(rows: int, columns: int, seed: int) -> NDArray[np.float32]:
    return np.random.default_rng(seed).standard_normal((rows, columns)).astype(np.float32)


def loss(values: NDArray[np.float32], data: NDArray[np.uint8], type: str, gram: Doubles) -> float:
    """The squared change of the outputs over all inputs: tr(E H E^T)."""
    error = dequantize(data, type).astype(np.float64) - values
    return float(np.einsum("ij,jk,ik->", error, gram, error))


def reference(values: NDArray[np.float32], data: NDArray[np.uint8], gram: Doubles) -> Doubles:
    """GPTQ for Q4_0 with the scales of `data`: the columns' errors are taken off the later ones by the
    inverse of H, from which each column is then eliminated (equations 2 and 3 of arXiv 2210.17323)."""
    hessian = gram + DAMPING * np.diag(gram).mean() * np.eye(len(gram))
    scales = data.reshape(len(values), -1, 18)[:, :, :2].copy().view(np.float16)[:, :, 0].astype(np.float64)
    diagonal = np.diag(gram).reshape(-1, 32)
    order = [
        32 * block + column
        for block in np.argsort(-diagonal.sum(axis=1), kind="stable")
        for column in np.argsort(-diagonal[block], kind="stable")
    ]
    inverse, rest, rounded = np.linalg.inv(hessian), values.astype(np.float64), np.zeros(values.shape)
    for column in order:
        scale = scales[:, column // 32]
        rounded[:, column] = np.clip(np.rint(rest[:, column] / scale), -8, 7) * scale
        error = (rest[:, column] - rounded[:, column]) / inverse[column, column]
        rest -= np.outer(error, inverse[column])
        inverse -= np.outer(inverse[:, column], inverse[column]) / inverse[column, column]
    return rounded


def test_levels_are_those_of_the_paper() -> None:
    values, x = matrix(48, 128, 1), inputs(128, 2)
    gram = x.T @ x
    data = quantize_compensated(values, "q4_0", Compensation.of(gram, 32))
    expected, found = reference(values, data, gram), dequantize(data, "q4_0")
    # A tie that float32 decides otherwise changes what follows in its row.
    same_rows = np.isclose(found, expected, atol=1e-5).all(axis=1)
    assert same_rows.mean() > 0.9
    error = found - values
    assert np.einsum("ij,jk,ik->", error, gram, error) == pytest.approx(
        np.einsum("ij,jk,ik->", expected - values, gram, expected - values), rel=0.02
    )


@pytest.mark.parametrize("type", [*TYPES, "iq4_nl", "q5_0", "q6_k"])
def test_outputs_change_less_than_by_rounding_alone(type: str) -> None:
    values, x = matrix(64, 512, 3), inputs(512, 4)
    gram = x.T @ x
    compensated = quantize_compensated(values, type, Compensation.of(gram, GRIDS[type].columns))
    weighted = quantize_weighted(values, type, column_weights(np.diag(gram)))
    assert compensated.shape == weighted.shape
    assert loss(values, compensated, type, gram) < 0.75 * loss(values, weighted, type, gram)
    assert loss(values, compensated, type, gram) < 0.6 * loss(values, quantize(values, type), type, gram)


@pytest.mark.parametrize("type", TYPES)
def test_inputs_without_correlation_compensate_nothing(type: str) -> None:
    """Each number is at the level nearest to it: no other would be better."""
    values, squares = matrix(16, 512, 5), np.random.default_rng(6).lognormal(0, 1, 512)
    data = quantize_compensated(values, type, Compensation.of(np.diag(squares), GRIDS[type].columns))
    weighted = quantize_weighted(values, type, column_weights(squares))
    gram = np.diag(squares)
    assert loss(values, data, type, gram) == pytest.approx(loss(values, weighted, type, gram), rel=0.05)


def test_the_factor_is_that_of_the_inverse() -> None:
    x = inputs(96, 7)
    hessian = x.T @ x
    factor = upper_factor(hessian)
    np.testing.assert_array_equal(factor, np.triu(factor))
    np.testing.assert_allclose(factor.T @ factor, np.linalg.inv(hessian), rtol=1e-6, atol=1e-12)


def test_columns_come_by_their_inputs_and_blocks_stay_whole() -> None:
    squares = np.ones(96)
    squares[64:] = 4
    squares[70] = 9
    order = Compensation.of(np.diag(squares), 32).order
    assert order[0] == 70
    assert sorted(order[:32]) == list(range(64, 96))
    assert sorted(order) == list(range(96))


def test_inputs_that_are_zero_or_fewer_than_columns() -> None:
    values = matrix(8, 64, 8)
    for x in (np.zeros((4, 64)), inputs(64, 9)[:3]):
        data = quantize_compensated(values, "q4_0", Compensation.of(x.T @ x, 32))
        assert np.abs(dequantize(data, "q4_0") - values).max() < np.abs(values).max()


def test_bad_sums_are_refused() -> None:
    gram = np.eye(32)
    gram[3, 3] = np.nan
    with pytest.raises(ValueError, match="not finite"):
        Compensation.of(gram, 32)
    with pytest.raises(ValueError, match=r"64 columns.*96"):
        quantize_compensated(matrix(2, 64, 10), "q4_0", Compensation.of(np.eye(96), 32))
