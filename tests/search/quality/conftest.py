"""Runs of a study that nobody trained: their loss follows a known law."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from phonelm.search.quality.runs import RunRecord, make_record, shapes_of_runs
from phonelm.search.quality.study import StudyConfig, planned_runs
from phonelm.search.space import Shapes

SIZES = (1_000_000, 10_000_000)


def _law(shapes: Shapes) -> np.ndarray:
    """Logarithm of a loss: a best aspect, a dislike of few KV heads and of plain FFNs."""
    aspect = np.log2(shapes.hidden / shapes.layers)
    groups = np.log2(shapes.heads / shapes.kv_heads)
    kind = 0.03 * ~shapes.gated + 0.01 * (shapes.activation == 1)
    return -0.076 * np.log(shapes.non_embedding) + 0.004 * (aspect - 4.5) ** 2 + 0.01 * groups + kind


@pytest.fixture(scope="session")
def law() -> Callable[[Shapes], np.ndarray]:
    return _law


@pytest.fixture(scope="session")
def made_up() -> Callable[..., list[RunRecord]]:
    """Runs of `shapes` shapes of two sizes that follow `_law`, with noise of a given deviation."""

    def make(shapes: int = 20, noise: float = 0.002, **settings: object) -> list[RunRecord]:
        study = StudyConfig.model_validate({"params": SIZES, "shapes": (shapes,), **settings})
        runs = [make_record(run, 1.0, 1.0) for run in planned_runs(study)]
        logs = _law(shapes_of_runs(runs)) + np.random.default_rng(3).normal(0, noise, len(runs))
        losses = 5 * np.exp(logs) * [1.0 if run.params == SIZES[0] else 0.8 for run in runs]
        return [
            run.model_copy(update={"nats_per_byte": float(x)}) for run, x in zip(runs, losses, strict=True)
        ]

    return make
