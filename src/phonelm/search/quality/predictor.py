"""Predicts how much worse a shape trains than the best of equal size."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, ValidationError

from phonelm.files import read_json, write_json
from phonelm.search.quality.features import FEATURES, features
from phonelm.search.space import Shapes

Array = npt.NDArray[Any]
SHIPPED_FILE = "shipped.json"
SHIPPED_TABLE = "runs.csv"
CURVED = (0, 1, 2, 4)
"""Features with a square: those with a best value somewhere in the middle."""
CARRIED = 0.5
"""Share of the features' effect that is taken to remain at ten times the size trained on: an assumption.
Trained longer, shapes differ less: by 3 % at most over a factor of 40 in hidden / layers at 50M parameters
(Kaplan et al. 2020, figure 5)."""
_SLICE = 1 << 15


class Evidence(BaseModel):
    """What a predictor was fitted on, and how well it predicts shapes that it was not."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    num_runs: int
    num_shapes: int
    sizes: tuple[int, ...]
    """Total parameters of the shapes."""
    tokens: tuple[int, ...]
    """Training tokens of each size."""
    rank_correlation: float
    """Spearman's, between predicted and measured loss of shapes left out of the fit, within a size."""
    rank_interval: tuple[float, float]
    """In which it lies with 90 % (bootstrap over shapes)."""
    non_embedding_rank_correlation: float
    """The same of the number of non-embedding parameters alone."""
    larger_rank_correlation: float | None
    """The same for the largest size, predicted from the smaller ones alone."""
    left_out_error: float
    """Root mean square error on shapes left out, as a share of the loss, the size's own level apart."""
    seed_noise: float | None
    """Standard deviation between trainings of one shape, as a share of the loss; None without repeats."""
    spread: float
    """Largest over smallest loss within a size, less 1; the largest of the sizes."""


class Predictor(BaseModel):
    """A linear model of the logarithm of the loss, with the uncertainty of its coefficients.

    `log(loss) = level of the size + basis(shape) . coefficients + misfit`. Its first column is minus the
    logarithm of the non-embedding parameters, whose exponent is 0.076 by Kaplan et al. 2020
    (arXiv:2001.08361, equation 1.1) until the runs say otherwise; the others are `FEATURES` over the range
    trained on.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = 1
    features: tuple[str, ...] = FEATURES
    low: tuple[float, ...]
    high: tuple[float, ...]
    """The range of each feature that was trained on."""
    coefficients: tuple[float, ...]
    covariance: tuple[tuple[float, ...], ...]
    misfit: float
    """Standard deviation of what the features do not explain, in log(loss)."""
    slope: float
    """Standard deviation of a coefficient before any run was seen."""
    evidence: Evidence
    made: dict[str, Any] = {}

    def excess_loss(self, shapes: Shapes, relative_to: Shapes | None = None) -> tuple[Array, Array]:
        """Predicted loss above the best of the shapes, and its standard deviation: float64 [shapes] each.

        Both are shares of the loss, which are the same for nats, bits, bytes and tokens: 0.01 is one per
        cent more loss. The shapes should be of equal parameters. `relative_to` is one shape to compare with
        instead of the best; better ones are then below 0. Features beyond the range trained on count as at
        its border, and the deviation grows with the distance. For each factor of ten beyond the largest size
        trained on, `CARRIED` of what the features do is taken to remain, the rest joins the deviation, and
        that grows by its own amount.
        """
        if not len(shapes):
            return np.empty(0), np.empty(0)
        if relative_to is not None and len(relative_to) != 1:
            raise ValueError(f"relative_to holds {len(relative_to)} shapes; give one")
        seen = basis(shapes, self._box)
        beyond = self._decades_beyond(shapes if relative_to is None else relative_to)
        weights = np.array(self.coefficients, dtype=np.float32)
        carried = weights * np.where(np.arange(len(weights)) == 0, 1, CARRIED**beyond).astype(np.float32)
        best = int(np.argmin(seen.columns @ carried))
        other = seen.row(best) if relative_to is None else basis(relative_to, self._box)
        difference = seen.columns - other.columns
        mean = np.expm1(difference @ carried, dtype=np.float64)
        dropped = np.square(difference @ (weights - carried))
        std = self._deviation(difference, seen.overshoot + other.overshoot, dropped, beyond)
        if relative_to is None:
            std[best] = 0.0
        return mean, std * (1 + mean)

    @property
    def note(self) -> str:
        """What it rests on and what it does not see, for a report."""
        e = self.evidence
        sizes = " and ".join(f"{size / 1e6:g}M" for size in e.sizes)
        tokens = " and ".join(f"{count / 1e6:.3g}M" for count in e.tokens)
        noise = "" if e.seed_noise is None else f", {e.seed_noise:.2%} between two trainings of one shape"
        larger = e.larger_rank_correlation
        alone = "" if larger is None else f"; of the largest size from smaller ones alone: {larger:.2f}"
        return (
            f"Quality is the predicted loss above the best shape's, as a share of it, fitted on {e.num_runs} "
            f"trainings of {e.num_shapes} shapes with {sizes} parameters for {tokens} tokens. On shapes left "
            f"out its rank correlation with the measured loss is {e.rank_correlation:.2f} (90 %: "
            f"{e.rank_interval[0]:.2f} to {e.rank_interval[1]:.2f}; non-embedding parameters alone: "
            f"{e.non_embedding_rank_correlation:.2f}{alone}), its error {e.left_out_error:.2%} of the "
            f"loss{noise}. "
            "It has seen one corpus, one vocabulary, no larger model, no longer training: beyond, its order "
            "is an extrapolation, and its deviation grows with the distance."
        )

    def save(self, path: Path | str) -> None:
        """Write as JSON, whole or not at all."""
        write_json(path, self.model_dump(mode="json"))

    @classmethod
    def load(cls, path: Path | str) -> Predictor:
        """Read what `save` wrote. Raises `ValueError` for another format, `FileNotFoundError` for no file."""
        try:
            predictor = cls.model_validate(read_json(path))
        except ValidationError as error:
            raise ValueError(
                f"{path} is no predictor of quality; fit one with `phonelm search fit-quality`"
            ) from error
        if predictor.features != FEATURES:
            raise ValueError(f"{path} is of another version; fit again with `phonelm search fit-quality`")
        return predictor

    @classmethod
    def shipped(cls) -> Predictor | None:
        """The predictor that comes with the package, None where the package has none."""
        path = files("phonelm.search.quality").joinpath(SHIPPED_FILE)
        return cls.load(Path(str(path))) if path.is_file() else None

    def _deviation(self, difference: Array, overshoot: Array, dropped: Array, beyond: float) -> Array:
        """Standard deviation of the difference of two logarithms of the loss."""
        covariance = np.array(self.covariance, dtype=np.float32)
        known = np.einsum("ij,ij->i", difference @ covariance, difference).clip(0)
        unseen = max(self.slope, self.misfit) ** 2 * overshoot
        fitted = np.sqrt(known + unseen + 2 * self.misfit**2) * (1 + beyond)
        return np.asarray(np.sqrt(fitted**2 + dropped), dtype=np.float64)

    def _decades_beyond(self, shapes: Shapes) -> float:
        """Factors of ten from the largest size trained on to that of the shapes; 0 for smaller ones."""
        size = float(np.median(np.asarray(shapes.total)))
        return max(0.0, float(np.log10(size / max(self.evidence.sizes))))

    @property
    def _box(self) -> Array:
        return np.array([self.low, self.high], dtype=np.float32)


class Basis(NamedTuple):
    """What the linear model multiplies, in float32."""

    columns: Array
    """[shapes, 1 + features + squares]"""
    overshoot: Array
    """Squared distance from the box, in halves of its width: [shapes]."""

    def row(self, index: int) -> Basis:
        """That of one shape."""
        return Basis(*(part[index : index + 1] for part in self))


def basis(shapes: Shapes, box: Array) -> Basis:
    """Columns of the linear model; `box` [2, features] is the range of the features, which become -1 to 1.

    A feature that never varied in training tells nothing, whatever its value.
    """
    num_features = box.shape[1]
    columns = np.empty((len(shapes), 1 + num_features + len(CURVED)), dtype=np.float32)
    overshoot = np.zeros(len(shapes), dtype=np.float32)
    middle, half = (box[0] + box[1]) / 2, (box[1] - box[0]) / 2
    for begin in range(0, len(shapes), _SLICE):
        part = slice(begin, begin + _SLICE)
        some = shapes.take(part)
        unit = (features(some) - middle) / np.where(half > 0, half, 1)
        inside = np.clip(unit, -(half > 0).astype(np.float32), half > 0)
        columns[part, 0] = -np.log(np.asarray(some.non_embedding))
        columns[part, 1 : 1 + num_features] = inside
        columns[part, 1 + num_features :] = np.square(inside[:, CURVED])
        overshoot[part] = np.square(unit - inside).sum(axis=1)
    return Basis(columns, overshoot)
