"""The predicted loss of shapes beside each other: one place for whatever predicts it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from phonelm.search.quality import LIMITATION, Predictor, non_embedding_proxy
from phonelm.search.shapes import Shapes

Array = npt.NDArray[Any]
LOSS_EXPONENT = 0.076
"""Loss falls with this power of the non-embedding parameters (Kaplan et al. 2020, arXiv:2001.08361, 1.1)."""


@dataclass(frozen=True)
class Quality:
    """What is predicted of the loss of some shapes; nothing absolute, only how far they lie apart."""

    loss_percent: Array
    """Predicted loss above the best of the priced shapes, float64; of other shapes it may be negative."""
    std_percent: Array | None
    """Standard deviation of that; None where nothing is known of it."""
    source: str
    """`predictor` for the shipped one, the file of another, or what stands in for it."""
    note: str
    """Where it comes from and what it does not see, for a report."""


def shipped_predictor() -> Predictor | None:
    """The fitted predictor that comes with the package, None where the package has none."""
    return Predictor.shipped()


def quality_of(
    portions: Sequence[Shapes], others: Sequence[Shapes] = (), predictor_file: str | None = None
) -> tuple[Quality, Quality]:
    """The quality of all `portions` one after the other, and of `others` by the same measure.

    Predicted by the predictor of the file, else by the shipped one; without one from the non-embedding
    parameters alone. Raises `ValueError` and `FileNotFoundError` as `Predictor.load` does.
    """
    predictor = Predictor.load(predictor_file) if predictor_file else shipped_predictor()
    excess, std = _fitted(predictor, portions, others) if predictor else _proxy([*portions, *others])
    count = sum(len(shapes) for shapes in portions)
    best = 1 + excess[:count].min()
    percent = 100 * ((1 + excess) / best - 1)
    deviation = None if std is None else 100 * std / best
    source, note = ("predictor", predictor.note) if predictor else ("non-embedding parameters", LIMITATION)
    source = predictor_file or source
    return (
        Quality(percent[:count], None if deviation is None else deviation[:count], source, note),
        Quality(percent[count:], None if deviation is None else deviation[count:], source, note),
    )


def _fitted(
    predictor: Predictor, portions: Sequence[Shapes], others: Sequence[Shapes]
) -> tuple[Array, Array]:
    """Excess over the best shape of the first portion, and its deviation."""
    first = predictor.excess_loss(portions[0])
    at = int(np.argmin(first[0]))
    best = portions[0].take(slice(at, at + 1))
    rest = [predictor.excess_loss(shapes, relative_to=best) for shapes in [*portions[1:], *others]]
    mean, std = (np.concatenate(parts) for parts in zip(first, *rest, strict=True))
    return mean, std


def _proxy(portions: Sequence[Shapes]) -> tuple[Array, None]:
    """Excess over the shape with most non-embedding parameters; nothing is known of its deviation."""
    counts = np.concatenate([non_embedding_proxy(shapes) for shapes in portions])
    return np.asarray((counts / counts.max()) ** -LOSS_EXPONENT - 1), None
