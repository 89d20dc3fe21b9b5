"""All shapes of a space with what is predicted of them, whatever their vocabulary and types."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from phonelm.profile import DeviceProfile
from phonelm.search.cost import Costs, Request, price
from phonelm.search.design import Candidate, FrontPoint, describe
from phonelm.search.objective import Quality
from phonelm.search.shapes import Shapes

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Portion:
    """Shapes of one vocabulary, and the profile of their types."""

    shapes: Shapes
    profile: DeviceProfile


@dataclass(frozen=True)
class Priced:
    """Predictions for the shapes of all portions, one after the other."""

    portions: Sequence[Portion]
    costs: Costs
    quality: Quality
    request: Request

    @classmethod
    def of(cls, portions: Sequence[Portion], quality: Quality, request: Request) -> Priced:
        """Price every shape of every portion."""
        each = [price(portion.shapes, portion.profile, request) for portion in portions]
        names = ("decode_ms", "prefill_ms", "memory_bytes")
        costs = Costs(**{name: np.concatenate([getattr(c, name) for c in each]) for name in names})
        return cls(portions, costs, quality, request)

    def __len__(self) -> int:
        return len(self.costs.decode_ms)

    @property
    def objectives(self) -> Array:
        """What the front is over, float64 [shapes, 4]; less is better."""
        costs = self.costs
        return np.stack(
            [costs.decode_ms, costs.prefill_ms, costs.memory_bytes, self.quality.loss_percent], axis=1
        )

    def candidate(self, index: int) -> Candidate:
        """One shape in full."""
        portion, at = self._place(index)
        return describe(portion.shapes, at, portion.profile, self.request, *loss_at(self.quality, index))

    def points(self, which: Array) -> list[FrontPoint]:
        """Some shapes in short."""
        return [self._point(int(index)) for index in which]

    def _place(self, index: int) -> tuple[Portion, int]:
        for portion in self.portions:
            if index < len(portion.shapes):
                return portion, index
            index -= len(portion.shapes)
        raise AssertionError("an index beyond the last shape")

    def _point(self, index: int) -> FrontPoint:
        portion, at = self._place(index)
        config = portion.shapes.config(at, self.request.context_length)
        mixer, ffn = config.layers[0].mixer, config.layers[0].ffn
        loss, std = loss_at(self.quality, index)
        return FrontPoint(
            shape=(
                config.num_layers,
                config.hidden_size,
                mixer.num_heads,
                mixer.num_kv_heads,
                mixer.head_dim,
                ffn.intermediate_size,
            ),
            ffn="gated" if ffn.gated else "plain",
            activation=ffn.activation,
            tied=config.head.tied,
            vocab_size=config.vocab_size,
            types=f"{portion.profile.block_type}/{portion.profile.head_type}",
            decode_ms=round(float(self.costs.decode_ms[index]), 5),
            prefill_ms=round(float(self.costs.prefill_ms[index]), 4),
            memory_mb=round(float(self.costs.memory_bytes[index]) / 2**20, 3),
            non_embedding=int(portion.shapes.take(slice(at, at + 1)).non_embedding[0]),
            loss_percent=round(loss, 3),
            loss_std_percent=None if std is None else round(std, 3),
        )


def loss_at(quality: Quality, index: int) -> tuple[float, float | None]:
    """Predicted loss and its standard deviation of one shape, in percent."""
    std = quality.std_percent
    return float(quality.loss_percent[index]), None if std is None else float(std[index])
