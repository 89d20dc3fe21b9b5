"""Which of the priced shapes meets the limits, and which of those is chosen."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from phonelm.search import choice
from phonelm.search.config import SearchConfig
from phonelm.search.objective import Quality
from phonelm.search.priced import Priced

Array = npt.NDArray[Any]
_FIELDS = {"max_decode_ms": "decode_ms", "max_prefill_ms": "prefill_ms", "max_memory_mb": "memory_bytes"}
_UNITS = {"max_memory_mb": 2.0**20}


def most_loss_percent(config: SearchConfig, conventional: Quality) -> float:
    """The predicted loss a choice may have: so much above the best conventional shape's, if there is any."""
    reference = float(conventional.loss_percent.min()) if len(conventional.loss_percent) else 0.0
    return config.max_loss_percent + reference


def select(config: SearchConfig, priced: Priced, front: Array, most_loss: float) -> int:
    """Index of the choice among the members of the front that meet the limits.

    A shape that meets them is equalled or dominated by one of the front. Raises `ValueError` naming the
    nearest shape when there is none.
    """
    allowed = front[_excess(config, priced, most_loss)[front] <= 1]
    if not len(allowed):
        raise ValueError(_nobody(config, priced, most_loss))
    costs = priced.costs
    best = choice.knee(
        costs.response_ms(priced.request)[allowed],
        priced.quality.loss_percent[allowed],
        costs.memory_bytes[allowed],
        config.prefer,
    )
    return int(allowed[best])


def _excess(config: SearchConfig, priced: Priced, most_loss: float) -> Array:
    """By which factor each shape misses the limit it misses most; at most 1 where it meets all."""
    # Loss itself is not known, only differences: as a factor of it.
    excess = (100 + priced.quality.loss_percent) / (100 + most_loss + 1e-9)
    for name, limit in config.limits.items():
        values = getattr(priced.costs, _FIELDS[name])
        excess = np.maximum(excess, values / (limit * _UNITS.get(name, 1.0)))
    return np.asarray(excess)


def _nobody(config: SearchConfig, priced: Priced, most_loss: float) -> str:
    """Which shape misses the limits by the least factor, in words."""
    near = priced.candidate(int(np.argmin(_excess(config, priced, most_loss))))
    names = ", ".join([*config.limits, "max_loss_percent"])
    return (
        f"no shape of {config.params:,} parameters meets the limits; the nearest takes "
        f"{near.decode_ms:.3g} ms a token, {near.prefill_ms:.3g} ms for the prompt and {near.memory_mb:.3g} "
        f"MiB at a predicted loss {near.loss_percent:.2f} % above the best shape's ({most_loss:.2f} % "
        f"allowed): relax {names} or params"
    )
