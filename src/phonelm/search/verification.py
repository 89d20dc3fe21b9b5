"""Predicted beside measured: what a verification found."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict

from phonelm.arch import DecoderConfig
from phonelm.words import counted


def shape_words(config: DecoderConfig) -> str:
    """Depth, width, heads and FFN of a uniform decoder in a few words."""
    mixer, ffn = config.layers[0].mixer, config.layers[0].ffn
    heads = f"{mixer.num_heads}/{mixer.num_kv_heads} heads of {mixer.head_dim}"
    kind = f"{'gated' if ffn.gated else 'plain'} {ffn.activation} FFN {ffn.intermediate_size}"
    untied = "" if config.head.tied else ", untied"
    return f"{counted(config.num_layers, 'layer')} × {config.hidden_size}, {heads}, {kind}{untied}"


USUAL_SHARE = 0.5
"""Of a model's samples in the profile's state, below which they say little of the prediction."""


class Record(BaseModel):
    """A frozen part of a design."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Verified(Record):
    """A shape's times, predicted and measured as a whole model with random weights."""

    role: str
    """`chosen`, `front`, `sample` (drawn at random), or the name of a conventional shape."""
    config: DecoderConfig
    loss_percent: float | None = None
    """Predicted, above the best of all priced shapes."""
    predicted_decode_ms: float
    measured_decode_ms: float
    decode_spread: float
    """Range of the rounds over their median."""
    predicted_prefill_ms: float
    measured_prefill_ms: float
    prefill_spread: float
    usual_share: float | None = None
    """Of its samples, those taken in the state of the machine that the profile was measured in."""

    @property
    def name(self) -> str:
        """Depth, width, heads and FFN in a few words."""
        return shape_words(self.config)


class Agreement(Record):
    """How far predictions lie from measurements: of |predicted / measured - 1| the median and the worst."""

    median_error: float
    worst_error: float
    rank_correlation: float | None
    """Spearman's; None for fewer than three models."""


class Verification(Record):
    """Whole models measured beside their predictions."""

    rows: list[Verified]
    decode: Agreement
    prefill: Agreement
    rounds: int
    wall_s: float

    @property
    def warning(self) -> str:
        """What disturbed the measurement, in words; empty where nothing did."""
        few = sum(row.usual_share is not None and row.usual_share < USUAL_SHARE for row in self.rows)
        if not few:
            return ""
        return (
            f"The machine was in another state than when it was profiled: {few} of "
            f"{counted(len(self.rows), 'model')} had few samples in the profile's. Errors may be the "
            "machine's; when it is idle, run: phonelm profile --fresh, and search again."
        )


def agreement(predicted: Sequence[float], measured: Sequence[float]) -> Agreement:
    """Compare times pair by pair. Raises `ValueError` where there is none."""
    if not predicted or len(predicted) != len(measured):
        raise ValueError("predicted and measured times come in pairs, at least one")
    errors = np.abs(np.divide(predicted, measured) - 1)
    return Agreement(
        median_error=float(np.median(errors)),
        worst_error=float(errors.max()),
        rank_correlation=rank_correlation(predicted, measured),
    )


def rank_correlation(first: Sequence[float], second: Sequence[float]) -> float | None:
    """Spearman's rho; equal numbers share the mean of their ranks. None for fewer than three pairs."""
    if len(first) < 3:
        return None
    a, b = _ranks(first), _ranks(second)
    if a.std() == 0 or b.std() == 0:
        return None
    return float(np.corrcoef(a, b)[0, 1])


def _ranks(values: Sequence[float]) -> npt.NDArray[np.float64]:
    _, inverse, counts = np.unique(np.asarray(values), return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return np.asarray((ends - (counts - 1) / 2)[inverse], dtype=np.float64)
