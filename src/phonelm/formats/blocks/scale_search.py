"""Scales of groups of weights by least squares, as K-quants want them.

Levels q are rounded with each of some scales near the one that the extremes give; for each, the scale (and
minimum) that fits these levels best has a closed form, and the best of all is kept. Groups lie side by side,
[columns of a group, groups], so that sums over a group are additions of whole rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from phonelm.formats.blocks.floats import Floats, reciprocal

_LEAST_SPREAD = {4: 1e-5, 8: 1e-13}
"""Of levels, by the bytes of a number: below it their differences are mostly rounding."""
Rounding = Callable[[Floats], Floats]
"""Replaces numbers by the nearest levels, in place where it can."""


def symmetric_scale(values: Floats, weights: Floats, round_levels: Rounding, ends: Iterable[float]) -> Floats:
    """Scale s [groups] that minimizes sum w (x - s q)^2 over `values` and `weights` [columns, groups].

    `ends` are the levels, of fractions too, that the number of largest magnitude is tried at.
    """
    largest = np.take_along_axis(values, np.abs(values).argmax(axis=0, keepdims=True), axis=0)[0]
    inverse = reciprocal(largest)
    weighted = weights * values
    scale, best = np.zeros_like(inverse), np.zeros_like(inverse)
    for end in ends:
        levels = round_levels(values * (inverse * np.float32(end)))
        product = _sum(weighted, levels)
        fitted = product * reciprocal(_sum(weights, levels * levels))
        # What the squared error is smaller by than with a scale of 0.
        gain = fitted * product
        better = gain > best
        np.copyto(scale, fitted, where=better)
        np.copyto(best, gain, where=better)
    return scale


def scale_and_minimum(
    values: Floats, weights: Floats, highest: int, ends: Iterable[float], most_offset: float = 0.0
) -> tuple[Floats, Floats]:
    """Scale s >= 0 and minimum -m >= -`most_offset`, both [groups], that minimize sum w (x - s q + m)^2.

    Levels q are 0 to `highest`; `ends` are the levels, of fractions too, that the range is stretched to.
    `most_offset` is 0, so that 0 is always within the range, or infinite.
    """
    low = np.minimum(values.min(axis=0), np.float32(most_offset))
    above = values - low
    inverse = reciprocal(above.max(axis=0))
    weighted = weights * values
    sum_w, sum_x = weights.sum(axis=0), weighted.sum(axis=0)
    scale, minimum = np.zeros_like(low), -low
    best = np.full_like(low, -np.inf)
    for end in ends:
        levels = np.rint(above * (inverse * np.float32(end)))
        np.minimum(levels, np.float32(highest), out=levels)
        scaled = weights * levels
        sum_l, sum_ll, sum_xl = scaled.sum(axis=0), _sum(scaled, levels), _sum(weighted, levels)
        step, offset = _fit(sum_w, sum_x, sum_l, sum_ll, sum_xl, most_offset)
        # The squared error without sum w x^2, turned round.
        gain = 2 * (step * sum_xl + offset * sum_x)
        gain -= step * step * sum_ll + 2 * step * offset * sum_l + offset * offset * sum_w
        better = (gain > best) & (step > 0)
        np.copyto(scale, step, where=better)
        np.copyto(minimum, -offset, where=better)
        np.copyto(best, gain, where=better)
    return scale, minimum


def _fit(
    sum_w: Floats, sum_x: Floats, sum_l: Floats, sum_ll: Floats, sum_xl: Floats, most_offset: float
) -> tuple[Floats, Floats]:
    """The line x = step q + offset of least weighted squares, its offset at most `most_offset`."""
    spread = sum_w * sum_ll - sum_l * sum_l
    inverse = reciprocal(spread)
    step = (sum_w * sum_xl - sum_x * sum_l) * inverse
    offset = (sum_ll * sum_x - sum_l * sum_xl) * inverse
    # Where all levels are nearly equal, the difference above is mostly rounding.
    least = spread.dtype.type(_LEAST_SPREAD[spread.dtype.itemsize])
    through_zero = (offset >= most_offset) | (spread <= least * sum_w * sum_ll)
    step = np.where(through_zero, sum_xl * reciprocal(sum_ll), step)
    return step, np.where(through_zero, np.float32(0), offset)


def _sum(one: Floats, other: Floats) -> Floats:
    total: Floats = np.einsum("ij,ij->j", one, other)
    return total
