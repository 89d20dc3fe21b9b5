"""From a table of runs to a predictor that says how far it can be trusted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from phonelm.search.quality.features import features
from phonelm.search.quality.predictor import CURVED, Evidence, Predictor, basis
from phonelm.search.quality.regression import Posterior, Prior, rank_correlation, regress
from phonelm.search.quality.runs import RunRecord, shapes_of_runs

Array = npt.NDArray[Any]
KAPLAN_EXPONENT = 0.076
_EXPONENT_STD = 0.02
"""Between Kaplan's exponent and Chinchilla's larger ones; few runs of one size say little about it."""
_LEVEL_STD = 10.0
_LEAST_NOISE = 0.001
MIN_SHAPES = 8
_MIN_RANKED = 4
_BOOTSTRAPS = 1000


@dataclass(frozen=True)
class Observations:
    """The runs as arrays; repeats of a shape are one row."""

    columns: Array
    """[shapes, coefficients]: the predictor's basis, then one column for the level of each size."""
    targets: Array
    """Mean log(loss) of each shape."""
    sizes: Array
    """Index of the size of each shape."""
    num_levels: int
    noise: float
    """What a fit takes for at least the deviation of a target from what any predictor could know."""

    def take(self, which: Array) -> Observations:
        """Some of the shapes."""
        return replace(
            self, columns=self.columns[which], targets=self.targets[which], sizes=self.sizes[which]
        )

    def fit(self) -> Posterior:
        """Regress with the prior of the project."""
        num_columns = self.columns.shape[1]
        mean, std = np.zeros(num_columns), np.zeros(num_columns)
        mean[0], std[0] = KAPLAN_EXPONENT, _EXPONENT_STD
        std[num_columns - self.num_levels :] = _LEVEL_STD
        return regress(self.columns, self.targets, Prior(mean, std, free=std == 0), self.noise)

    def predicted(self, posterior: Posterior) -> Array:
        """log(loss) of each shape around the mean of its size, whose level is not what is predicted."""
        count = self.columns.shape[1] - self.num_levels
        level = self.columns[:, count:]
        around = self.columns[:, :count] - level @ (
            level.T @ self.columns[:, :count] / level.sum(axis=0)[:, None]
        )
        return np.asarray(around @ posterior.mean[:count])


def fit_predictor(records: Sequence[RunRecord], made: dict[str, Any] | None = None) -> Predictor:
    """Fit a predictor on a table of runs.

    Raises `ValueError` for fewer than 8 shapes, shapes of one size trained for different numbers of tokens,
    and losses that are not positive.
    """
    shapes, losses, noise = _by_shape(records)
    ranges = features(shapes_of_runs(shapes)).astype(np.float64)
    box = np.array([ranges.min(axis=0), ranges.max(axis=0)])
    observations = _observe(shapes, losses, box, noise or _LEAST_NOISE)
    posterior = observations.fit()
    count = len(posterior.mean) - observations.num_levels
    return Predictor(
        low=box[0].tolist(),
        high=box[1].tolist(),
        coefficients=posterior.mean[:count].tolist(),
        covariance=posterior.covariance[:count, :count].tolist(),
        misfit=posterior.noise,
        slope=posterior.slope,
        evidence=_evidence(records, shapes, observations, noise),
        made=made or {},
    )


def _by_shape(records: Sequence[RunRecord]) -> tuple[list[RunRecord], Array, float | None]:
    """One record of each shape, the mean of its log losses, and their standard deviation within a shape."""
    groups: dict[tuple[int | str, ...], list[RunRecord]] = {}
    for record in records:
        if not (np.isfinite(record.nats_per_byte) and record.nats_per_byte > 0):
            raise ValueError(f"run {record.name} has a loss of {record.nats_per_byte}; train it again")
        groups.setdefault(record.shape, []).append(record)
    _check(records, len(groups))
    logs = [np.log([record.nats_per_byte for record in group]) for group in groups.values()]
    degrees = sum(len(group) - 1 for group in logs)
    noise = float(np.sqrt(sum(((g - g.mean()) ** 2).sum() for g in logs) / degrees)) if degrees else None
    return [group[0] for group in groups.values()], np.array([group.mean() for group in logs]), noise


def _check(records: Sequence[RunRecord], num_shapes: int) -> None:
    if num_shapes < MIN_SHAPES:
        raise ValueError(f"{num_shapes} shapes are too few to fit a predictor; train at least {MIN_SHAPES}")
    tokens: dict[int, int] = {}
    for record in records:
        if tokens.setdefault(record.params, record.tokens) != record.tokens:
            raise ValueError(
                f"shapes of {record.params:,} parameters were trained for {tokens[record.params]:,} and for "
                f"{record.tokens:,} tokens; only equal training can be compared"
            )


def _observe(shapes: Sequence[RunRecord], losses: Array, box: Array, noise: float) -> Observations:
    budgets, sizes = np.unique([record.params for record in shapes], return_inverse=True)
    level = np.eye(len(budgets))[sizes]
    columns = np.concatenate([basis(shapes_of_runs(shapes), box).columns, level], axis=1, dtype=np.float64)
    assert columns.shape[1] == 1 + box.shape[1] + len(CURVED) + len(budgets)
    return Observations(columns, losses, sizes, len(budgets), noise)


def _evidence(
    records: Sequence[RunRecord], shapes: list[RunRecord], observed: Observations, noise: float | None
) -> Evidence:
    """Leave each shape out in turn, the choice of the deviations included."""
    everything = np.arange(len(shapes))
    fits = [observed.take(np.delete(everything, i)).fit() for i in everything]
    left_out = np.array([observed.predicted(fit)[i] for i, fit in enumerate(fits)])
    tokens = {record.params: record.tokens for record in records}
    non_embedding = -np.array([record.non_embedding for record in shapes], dtype=float)
    return Evidence(
        num_runs=len(records),
        num_shapes=len(shapes),
        sizes=tuple(sorted(tokens)),
        tokens=tuple(tokens[size] for size in sorted(tokens)),
        rank_correlation=within_sizes(left_out, observed.targets, observed.sizes),
        rank_interval=_interval(left_out, observed.targets, observed.sizes),
        non_embedding_rank_correlation=within_sizes(non_embedding, observed.targets, observed.sizes),
        larger_rank_correlation=_to_larger(observed),
        left_out_error=_error(left_out, observed),
        seed_noise=noise,
        spread=max(
            float(np.expm1(np.ptp(observed.targets[observed.sizes == s]))) for s in set(observed.sizes)
        ),
    )


def within_sizes(predicted: Array, measured: Array, sizes: Array) -> float:
    """Mean over sizes with at least 4 shapes of their rank correlations, weighted by the number of shapes."""
    groups = [group for size in np.unique(sizes) if (group := sizes == size).sum() >= _MIN_RANKED]
    values = np.array([rank_correlation(predicted[group], measured[group]) for group in groups])
    weights = np.array([group.sum() for group in groups], dtype=float)
    known = np.isfinite(values)
    return float(values[known] @ weights[known] / weights[known].sum()) if known.any() else 0.0


def _interval(predicted: Array, measured: Array, sizes: Array) -> tuple[float, float]:
    """5 % and 95 % of the rank correlation when the shapes of each size are drawn again."""
    random = np.random.default_rng(0)
    groups = [np.flatnonzero(sizes == size) for size in np.unique(sizes)]
    values = []
    for _ in range(_BOOTSTRAPS):
        drawn = np.concatenate([random.choice(group, len(group)) for group in groups])
        values.append(within_sizes(predicted[drawn], measured[drawn], sizes[drawn]))
    low, high = np.quantile(values, [0.05, 0.95])
    return float(low), float(high)


def _to_larger(observed: Observations) -> float | None:
    """Rank correlation at the largest size of a fit on the smaller ones; None for too few of them."""
    largest = observed.sizes == observed.sizes.max()
    if (~largest).sum() < MIN_SHAPES or largest.sum() < _MIN_RANKED:
        return None
    posterior = observed.take(~largest).fit()
    return rank_correlation(observed.predicted(posterior)[largest], observed.targets[largest])


def _error(left_out: Array, observed: Observations) -> float:
    """Root mean square of the errors around their mean in each size."""
    errors = observed.targets - left_out
    for size in np.unique(observed.sizes):
        errors[observed.sizes == size] -= errors[observed.sizes == size].mean()
    return float(np.sqrt(np.sum(errors**2) / max(1, len(errors) - observed.num_levels)))
