from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from phonelm.profile import CostGrid


def bilinear(rows: float, cols: float) -> float:
    return 3.0 + 0.5 * rows + 0.25 * cols + 0.01 * rows * cols


GRID = CostGrid(
    axes={"rows": [16, 64, 1024], "cols": [32, 256]},
    seconds=[bilinear(r, c) for r in (16, 64, 1024) for c in (32, 256)],
)


@given(st.floats(1, 5000), st.floats(1, 5000))
def test_a_bilinear_cost_is_met_exactly_inside_and_beyond_the_grid(rows: float, cols: float) -> None:
    assert GRID.at(rows=rows, cols=cols) == pytest.approx(bilinear(rows, cols), rel=1e-9)


def test_arrays_broadcast_and_agree_with_single_values() -> None:
    rows, cols = np.array([16, 100, 2000]), np.array([40, 41, 300])
    together = GRID.at(rows=rows, cols=cols)
    assert together == pytest.approx(
        [float(GRID.at(rows=r, cols=c)) for r, c in zip(rows, cols, strict=True)]
    )
    assert GRID.at(rows=64, cols=cols).shape == (3,)


def test_a_curve_is_followed_piece_by_piece() -> None:
    grid = CostGrid(axes={"hidden": [10, 20, 40]}, seconds=[1.0, 3.0, 4.0])
    assert grid.at(hidden=[10, 15, 20, 30, 40, 60]) == pytest.approx([1, 2, 3, 3.5, 4, 5])


def test_extrapolation_never_goes_below_zero() -> None:
    grid = CostGrid(axes={"hidden": [10, 20]}, seconds=[1.0, 3.0])
    assert grid.at(hidden=0) == 0.0


def test_an_axis_of_one_point_is_constant() -> None:
    assert CostGrid(axes={"n": [5]}, seconds=[2.0]).at(n=[1, 9]) == pytest.approx([2, 2])


@pytest.mark.parametrize(
    ("axes", "seconds"),
    [
        ({"n": [2, 1]}, [1.0, 1.0]),
        ({"n": []}, []),
        ({"n": [1, 2]}, [1.0]),
        ({"n": [1]}, [-1.0]),
        ({"n": [1]}, [float("nan")]),
    ],
)
def test_broken_tables_are_refused(axes: dict[str, list[int]], seconds: list[float]) -> None:
    with pytest.raises(ValueError, match="cost table"):
        CostGrid(axes=axes, seconds=seconds)


def test_unknown_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="is over"):
        GRID.at(rows=1, columns=2)
