"""Tables of measured seconds over a grid, interpolated for many shapes at once."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, model_validator

Array = npt.NDArray[Any]


class CostGrid(BaseModel):
    """Seconds of one operator at every point of a rectangular grid of sizes.

    `axes` names the sizes in order, each with its ascending values; `seconds` holds the table row by row
    (last axis fastest). Between the points the cost is linear in each size, so an operator whose cost is
    `a + b rows + c cols + d rows cols` is met exactly by any grid; beyond the last points the line continues.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    axes: dict[str, list[int]]
    seconds: list[float]

    @model_validator(mode="after")
    def _shape_matches(self) -> CostGrid:
        for name, points in self.axes.items():
            if not points or any(a >= b for a, b in itertools.pairwise(points)):
                raise ValueError(f"axis {name} of a cost table must be ascending, got {points}")
        if len(self.seconds) != math.prod(len(points) for points in self.axes.values()):
            raise ValueError("a cost table does not hold one number a grid point")
        if any(not math.isfinite(second) or second < 0 for second in self.seconds):
            raise ValueError("a cost table holds a time that is negative or not a number")
        return self

    def at(self, **sizes: Any) -> Array:
        """Seconds (float64, never negative) at the given sizes: one array (or number) an axis, broadcast.

        Raises `ValueError` when the names are not the grid's axes.
        """
        if set(sizes) != set(self.axes):
            raise ValueError(f"this cost table is over {list(self.axes)}, not {list(sizes)}")
        table = np.asarray(self.seconds).reshape([len(points) for points in self.axes.values()])
        corners = [_corners(np.asarray(points), sizes[name]) for name, points in self.axes.items()]
        total: Array = np.zeros(np.broadcast_shapes(*(np.shape(sizes[name]) for name in self.axes)))
        for choice in itertools.product(*corners):
            weight = math.prod((weight for _, weight in choice), start=np.float64(1.0))
            total = total + weight * table[tuple(index for index, _ in choice)]
        return np.maximum(total, 0.0)


def _corners(points: Array, value: Any) -> list[tuple[Array, Array]]:
    """The neighbouring grid points of each value with their linear weights."""
    value = np.asarray(value, dtype=np.float64)
    if len(points) == 1:
        return [(np.zeros(value.shape, dtype=np.intp), np.ones(value.shape))]
    low = np.clip(np.searchsorted(points, value, side="right") - 1, 0, len(points) - 2)
    share = (value - points[low]) / (points[low + 1] - points[low])
    return [(low, 1.0 - share), (low + 1, share)]
