"""The Pareto front of many points: those no other point beats in everything.

Divide and conquer after Kung, Luccio and Preparata (1975), "On finding the maxima of a set of vectors", with
whole blocks compared at once: n points of d objectives take about n log(n)^(d-2) comparisons, however many of
them are on the front.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
_BLOCK = 1 << 17
"""Pairs that are compared one by one, all at once, rather than divided further."""
_SWEEPERS, _SAMPLE = 64, 4096


def pareto_front(objectives: Array) -> npt.NDArray[np.intp]:
    """Ascending indices of the rows of `objectives` [points, objectives] that none dominates; less is better.

    A row dominates another when it is nowhere larger and somewhere smaller, so equal rows stay together.
    """
    if objectives.ndim != 2:
        raise ValueError(f"expected [points, objectives], got an array of {objectives.ndim} dimensions")
    if not objectives.size:
        return np.arange(len(objectives))
    kept = _sweep(objectives)
    ranks = _ranks(objectives[kept])
    order = np.lexsort(ranks.T[::-1])
    rows = ranks[order]
    # Equal rows share their fate, so one of each is looked at.
    is_first = np.concatenate([[True], (rows[1:] != rows[:-1]).any(axis=1)])
    # In this order no row can be dominated by a later one, and the first objective has done its part.
    columns = np.ascontiguousarray(rows[is_first].T[1:])
    alive = np.zeros(columns.shape[1], dtype=bool)
    alive[_undominated(columns, np.arange(columns.shape[1]))] = True
    return np.sort(kept[order[alive[np.cumsum(is_first) - 1]]])


def _ranks(rows: Array) -> Array:
    """Each column's values as their order, int32."""
    return np.stack([np.unique(c, return_inverse=True)[1].astype(np.int32) for c in rows.T], axis=1)


def _sweep(objectives: Array) -> npt.NDArray[np.intp]:
    """Indices of the rows that a few all-round good ones do not dominate: cheap, and mostly not many."""
    some = objectives[:: max(len(objectives) // _SAMPLE, 1)]
    good = some[np.argsort(_ranks(some).sum(axis=1), kind="stable")[:_SWEEPERS]]
    columns, left = list(objectives.T), np.arange(len(objectives))
    for one in good:
        no_smaller = np.ones(len(left), dtype=bool)
        equal = np.ones(len(left), dtype=bool)
        for column, value in zip(columns, one, strict=True):
            no_smaller &= column >= value
            equal &= column == value
        stays = ~no_smaller | equal
        columns, left = [column[stays] for column in columns], left[stays]
    return left


def _undominated(columns: Array, points: Array) -> Array:
    """Those of `points`, distinct and in lexicographic order, that none before them weakly dominates."""
    if len(points) <= 1 or not len(columns):
        return points[:1] if not len(columns) else points
    if len(points) ** 2 <= _BLOCK:
        some = columns[:, points]
        pairs = np.ones((len(points), len(points)), dtype=bool)
        for column in some:
            pairs &= column[:, None] <= column
        return points[~np.triu(pairs, 1).any(axis=0)]
    middle = len(points) // 2
    early = _undominated(columns, points[:middle])
    late = _undominated(columns, points[middle:])
    return np.concatenate([early, late[~_beaten(columns, early, late)]])


def _beaten(columns: Array, front: Array, points: Array) -> Array:
    """Mask of `points` that one of `front` weakly dominates in all `columns`."""
    if not len(front) or not len(points):
        return np.zeros(len(points), dtype=bool)
    if len(columns) == 1:
        return np.asarray(columns[0][points] >= columns[0][front].min())
    if len(columns) == 2:
        return _beaten_in_plane(columns, front, points)
    if len(front) * len(points) <= _BLOCK:
        pairs = np.ones((len(front), len(points)), dtype=bool)
        for column in columns:
            pairs &= column[front][:, None] <= column[points]
        return np.asarray(pairs.any(axis=0))
    return _beaten_by_halves(columns, front, points)


def _beaten_by_halves(columns: Array, front: Array, points: Array) -> Array:
    """Divide at a value of the first column: what lies below it needs no look at that column above it."""
    ours, theirs = columns[0][front], columns[0][points]
    if ours.max() <= theirs.min():
        return _beaten(columns[1:], front, points)
    both = np.concatenate([ours, theirs])
    cut = np.partition(both, len(both) // 2)[len(both) // 2]
    if cut == both.max():
        cut = both[both < cut].max()
    low, below = front[ours <= cut], theirs <= cut
    beaten = np.zeros(len(points), dtype=bool)
    beaten[below] = _beaten(columns, low, points[below])
    beaten[~below] = _beaten(columns[1:], low, points[~below])
    rest = np.flatnonzero(~below & ~beaten)
    beaten[rest] = _beaten(columns, front[ours > cut], points[rest])
    return beaten


def _beaten_in_plane(columns: Array, front: Array, points: Array) -> Array:
    """Of the front's points that are no larger in the first column, the least in the second decides."""
    order = np.argsort(columns[0][front], kind="stable")
    least = np.minimum.accumulate(columns[1][front][order])
    count = np.searchsorted(columns[0][front][order], columns[0][points], side="right")
    return np.asarray((count > 0) & (least[count - 1] <= columns[1][points]))


def thin(values: Array, most: int) -> npt.NDArray[np.intp]:
    """Indices of at most `most` points spread evenly over the order of `values`, ends included."""
    if len(values) <= most:
        return np.arange(len(values))
    order = np.argsort(values, kind="stable")
    picks = np.linspace(0, len(values) - 1, most).round().astype(np.intp)
    return np.sort(order[picks])
