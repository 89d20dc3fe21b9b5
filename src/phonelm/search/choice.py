"""The choice among the members of the front: its knee, or nearer to what is preferred."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Preference = Literal["balance", "speed", "quality", "memory"]
AXES = ("speed", "quality", "memory")
EMPHASIS = 8.0
"""How often the preferred axis counts: on a straight trade between two axes the choice then gives up a ninth
of the range of the preferred one, where a balanced one gives up half."""


def knee(response_ms: Array, loss_percent: Array, memory: Array, prefer: Preference) -> int:
    """Index of the member nearest to the ideal point, which has the best of every axis.

    Axes are the logarithms of the time of a whole answer and of the memory, and the predicted loss (percents
    are logarithms already), each scaled to 0..1 over the members; the distance is Euclidean, with the
    preferred axis weighted by `EMPHASIS`. Source: the compromise programming of Zeleny (1973).
    """
    axes = (np.log(response_ms), loss_percent, np.log(memory))
    distance = np.zeros(len(response_ms))
    for name, values in zip(AXES, axes, strict=True):
        weight = EMPHASIS if name == prefer else 1.0
        span = float(values.max() - values.min())
        if span > 0:
            distance += weight * ((values - values.min()) / span) ** 2
    return int(np.argmin(distance))


def words(prefer: Preference) -> str:
    """Why a knee is chosen, in words that follow "it is ..."."""
    if prefer == "balance":
        return "the knee: nearest to the point that has the least time, memory and predicted loss at once"
    return (
        "nearest to the point that has the least time, memory and predicted loss at once, with "
        f"{prefer} counting {EMPHASIS:g} times"
    )
