"""The Pareto front of many points: those no other point beats in everything."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


def pareto_front(objectives: Array) -> npt.NDArray[np.intp]:
    """Ascending indices of the rows of `objectives` [points, objectives] that none dominates; less is better.

    A row dominates another when it is nowhere larger and somewhere smaller, so equal rows stay together.
    Points are visited by rising sum of ranks: nothing visited later can dominate an earlier one, and the
    first ones sweep away most of the others, so the cost is about points x log(points) + front x rest.
    """
    if objectives.ndim != 2:
        raise ValueError(f"expected [points, objectives], got an array of {objectives.ndim} dimensions")
    ranks = [np.unique(column, return_inverse=True)[1].astype(np.int32) for column in objectives.T]
    order = np.argsort(np.sum(ranks, axis=0), kind="stable")
    columns = [rank[order] for rank in ranks]
    front: list[np.intp] = []
    while len(order):
        smaller = np.zeros(len(order), dtype=bool)
        twin = np.ones(len(order), dtype=bool)
        for column in columns:
            smaller |= column < column[0]
            twin &= column == column[0]
        front.extend(order[twin])
        columns, order = [column[smaller] for column in columns], order[smaller]
    return np.sort(np.array(front, dtype=np.intp))


def thin(values: Array, most: int) -> npt.NDArray[np.intp]:
    """Indices of at most `most` points spread evenly over the range of `values`, ends included."""
    if len(values) <= most:
        return np.arange(len(values))
    order = np.argsort(values, kind="stable")
    picks = np.linspace(0, len(values) - 1, most).round().astype(np.intp)
    return np.sort(order[picks])
