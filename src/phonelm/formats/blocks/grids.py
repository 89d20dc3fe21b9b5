"""Quantized types as grids: first the scales of some blocks, then the nearest levels, then the bytes.

Whoever rounds column by column, or weighs columns, needs the three steps apart. A number is stored as
step * q + offset with q between `lowest` and `highest`; groups of columns share a step and an offset.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phonelm.formats.blocks.floats import Bytes, Floats, half, reciprocal, require_within, single
from phonelm.formats.blocks.scale_search import Rounding, scale_and_minimum, symmetric_scale

Pack = Callable[["Grid", Bytes, Bytes], None]
"""Writes the bytes of blocks: a grid, levels counted from 0 [blocks, columns], and what is to be filled."""


@dataclass(frozen=True)
class Grid:
    """Scales of some blocks, as they are stored and as what they mean: float32 [blocks, groups of one]."""

    step: Floats
    offset: Floats
    stored: tuple[Bytes, ...]


@dataclass(frozen=True)
class GridType:
    """A type of blocks of `columns`, in groups of `size`; `ends` as in `scale_search.py`."""

    name: str
    columns: int
    size: int
    lowest: int
    highest: int
    ends: tuple[float, ...]
    pack: Pack
    most_step: int = 0
    """Of the integer that stands for a group's step; 0 where a block is one group with a float16 step."""
    rounding: Rounding | None = None
    """To the nearest level, where levels are not all whole numbers from `lowest` to `highest`."""

    def fit(self, blocks: Floats, weights: Floats, in_double: bool = False) -> Grid:
        """Scales of [blocks, columns] that make the error, squared and weighted, small.

        Where weights differ by orders of size, sums must be made `in_double`. Raises `ValueError` for numbers
        that are not finite in the type.
        """
        require_within(blocks, max(self.highest, -self.lowest) * max(self.most_step, 1), self.name)
        values: NDArray[Any] = side_by_side(blocks, self.size)
        of_values: NDArray[Any] = side_by_side(weights, self.size)
        if in_double:
            values, of_values = values.astype(np.float64), of_values.astype(np.float64)
        # Numbers that are nearly zero have infinite reciprocals, and then no scale is better than 0.
        with np.errstate(under="ignore", over="ignore", invalid="ignore"):
            return self._symmetric(values, of_values) if self.lowest else self._affine(values, of_values)

    def round(self, blocks: Floats, grid: Grid) -> Floats:
        """The nearest levels of [blocks, columns], from `lowest` to `highest`."""
        groups = blocks.reshape(*grid.step.shape, -1)
        numbers = (groups - grid.offset[:, :, None]) * reciprocal(grid.step)[:, :, None]
        return self.nearest(numbers).reshape(blocks.shape)

    def nearest(self, numbers: Floats) -> Floats:
        """The levels nearest to numbers, which are lost."""
        if self.rounding:
            return self.rounding(numbers)
        np.rint(numbers, out=numbers)
        return np.clip(numbers, np.float32(self.lowest), np.float32(self.highest), out=numbers)

    def values(self, levels: Floats, grid: Grid) -> Floats:
        """What levels [blocks, columns] mean."""
        groups = levels.reshape(*grid.step.shape, -1)
        scaled: Floats = groups * grid.step[:, :, None] + grid.offset[:, :, None]
        return scaled.reshape(levels.shape)

    def encode(self, levels: Floats, grid: Grid, out: Bytes) -> None:
        """Fill in the bytes of blocks, uint8 [blocks, bytes of one]."""
        self.pack(grid, (levels - np.float32(self.lowest)).astype(np.uint8), out)

    def _symmetric(self, values: Floats, weights: Floats) -> Grid:
        scales = symmetric_scale(values, weights, self.nearest, self.ends)
        scales = scales.reshape(-1, self.columns // self.size)
        if not self.most_step:
            step = half(scales, self.name)
            return Grid(single(step), np.zeros_like(scales), (step,))
        largest = np.take_along_axis(scales, np.abs(scales).argmax(axis=1, keepdims=True), axis=1)
        step = half(largest / np.float32(-self.most_step), self.name)
        steps = np.rint(scales * reciprocal(single(step)))
        steps = np.clip(steps, -self.most_step, self.most_step - 1).astype(np.int8)
        return Grid(single(step) * steps, np.zeros_like(scales), (step, steps.view(np.uint8)))

    def _affine(self, values: Floats, weights: Floats) -> Grid:
        most_offset = 0.0 if self.most_step else np.inf
        scales, minima = scale_and_minimum(values, weights, self.highest, self.ends, most_offset)
        scales = scales.reshape(-1, self.columns // self.size)
        minima = minima.reshape(scales.shape)
        if not self.most_step:
            step, low = half(scales, self.name), half(-minima, self.name)
            return Grid(single(step), single(low), (step, low))
        step, steps = unsigned(scales, self.most_step, self.name)
        offset, offsets = unsigned(minima, self.most_step, self.name)
        return Grid(single(step) * steps, -(single(offset) * offsets), (step, steps, offset, offsets))


def side_by_side(blocks: Floats, size: int) -> Floats:
    """The columns of groups as rows, [size, groups]."""
    return np.ascontiguousarray(blocks.reshape(-1, size).T)


def unsigned(numbers: Floats, most: int, name: str) -> tuple[Bytes, Bytes]:
    """Numbers >= 0 of [blocks, groups] as a float16 scale of each block, and 0 to `most` for each group."""
    scale = half(numbers.max(axis=1, keepdims=True) / np.float32(most), name)
    levels = np.rint(numbers * reciprocal(single(scale)))
    return scale, np.minimum(levels, np.float32(most)).astype(np.uint8)


def spread(first: float, last: float) -> tuple[float, ...]:
    """Numbers in steps of 0.1, both ends included."""
    return tuple(first + 0.1 * place for place in range(round(10 * (last - first)) + 1))
