from __future__ import annotations

import numpy as np
import pytest

from phonelm.search import Shapes, SpaceConfig, enumerate_shapes
from phonelm.search.objective import quality_of

SPACE = SpaceConfig.model_validate({"hidden": {"min": 64, "max": 256, "step": 64}, "head_dim": [32]})


class DepthPredictor:
    """A loss that grows by a hundredth of itself a layer, known to a hundredth of that."""

    note = "deep is bad"

    def excess_loss(self, shapes: Shapes, relative_to: Shapes | None = None) -> tuple[np.ndarray, np.ndarray]:
        loss = 1.01 ** shapes.layers.astype(np.float64)
        best = loss.min() if relative_to is None else 1.01 ** float(relative_to.layers[0])
        return loss / best - 1, 0.01 * loss / best


def two_portions() -> list[Shapes]:
    shapes = enumerate_shapes(SPACE, 512, 900_000, 0.02)
    deep = shapes.layers > 8
    return [shapes.take(deep), shapes.take(~deep)]


def test_without_a_predictor_loss_follows_the_non_embedding_parameters(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("phonelm.search.objective.shipped_predictor", lambda: None)
    portions = two_portions()
    quality, others = quality_of(portions, [portions[0].take(slice(0, 1))])
    counts = np.concatenate([shapes.non_embedding for shapes in portions])
    assert quality.loss_percent == pytest.approx(100 * ((counts.max() / counts) ** 0.076 - 1))
    assert others.loss_percent[0] == pytest.approx(quality.loss_percent[0])
    assert quality.std_percent is None
    assert quality.source == "non-embedding parameters"


def test_a_predictor_counts_from_the_best_of_all_portions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("phonelm.search.objective.shipped_predictor", DepthPredictor)
    portions = two_portions()
    quality, others = quality_of(portions, [portions[0].take(slice(0, 1))])
    layers = np.concatenate([shapes.layers for shapes in portions])
    assert quality.loss_percent == pytest.approx(100 * (1.01 ** (layers - layers.min()) - 1.0))
    assert quality.std_percent == pytest.approx(1.01 ** (layers - layers.min()))
    assert others.loss_percent[0] == pytest.approx(quality.loss_percent[0])
    assert (quality.source, quality.note) == ("predictor", "deep is bad")
