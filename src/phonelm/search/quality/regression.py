"""Bayesian linear regression with few observations, and what it predicts of those left out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
_SLOPES = np.geomspace(0.0005, 0.128, 9)
_NOISES = np.geomspace(0.0005, 0.064, 15)


@dataclass(frozen=True)
class Prior:
    """Normal distribution of the coefficients before anything was observed.

    `free` coefficients have the deviation that leave-one-out chooses; the others their own.
    """

    mean: Array
    std: Array
    free: Array

    def variances(self, slope: float) -> Array:
        """Variance of each coefficient."""
        return np.where(self.free, slope, self.std) ** 2


@dataclass(frozen=True)
class Posterior:
    """Coefficients after the observations: mean [k], covariance [k, k], and the chosen deviations."""

    mean: Array
    covariance: Array
    slope: float
    noise: float


def regress(columns: Array, targets: Array, prior: Prior, least_noise: float) -> Posterior:
    """Fit `targets` [n] to `columns` [n, k].

    The deviation of the free coefficients and that of the noise, which is at least `least_noise`, are those
    under which each observation is likeliest given all others (Rasmussen & Williams 2006, equations 5.10 to
    5.12).
    """
    chosen = max(
        ((slope, noise) for slope in _SLOPES for noise in np.maximum(_NOISES, least_noise)),
        key=lambda pair: _left_out_density(columns, targets, prior, *pair),
    )
    inverse, residual, spread = _kernel(columns, targets, prior, *chosen)
    gain = spread @ columns.T @ inverse
    covariance = spread - gain @ columns @ spread
    return Posterior(prior.mean + gain @ residual, covariance, float(chosen[0]), float(chosen[1]))


def _kernel(columns: Array, targets: Array, prior: Prior, slope: float, noise: float) -> tuple[Array, ...]:
    """Inverse covariance of the observations, their distance from the prior, and the prior's covariance."""
    spread = np.diag(prior.variances(slope))
    covariance = columns @ spread @ columns.T + noise**2 * np.eye(len(targets))
    return np.linalg.inv(covariance), targets - columns @ prior.mean, spread


def _left_out_density(columns: Array, targets: Array, prior: Prior, slope: float, noise: float) -> float:
    """Sum of the log densities of each observation given all others."""
    inverse, residual, _ = _kernel(columns, targets, prior, slope, noise)
    precision = np.diag(inverse)
    error = inverse @ residual / precision
    return float(np.sum(np.log(precision) - precision * error**2))


def rank_correlation(first: Array, second: Array) -> float:
    """Spearman's rank correlation, ties sharing their mean rank; NaN where one of both is constant."""
    ranks = [_ranks(np.asarray(values)) for values in (first, second)]
    centred = [rank - rank.mean() for rank in ranks]
    scale = np.sqrt((centred[0] ** 2).sum() * (centred[1] ** 2).sum())
    return float((centred[0] * centred[1]).sum() / scale) if scale > 0 else float("nan")


def _ranks(values: Array) -> Array:
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return np.asarray((ends - (counts - 1) / 2)[inverse])
