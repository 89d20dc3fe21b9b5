from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from phonelm.search.quality.regression import Prior, rank_correlation, regress


@given(st.lists(st.tuples(st.integers(0, 6), st.floats(-5, 5)), min_size=3, max_size=12))
def test_rank_correlation_is_the_correlation_of_ranks(pairs: list[tuple[int, float]]) -> None:
    def ranks(values: list[float]) -> list[float]:
        return [sum(b < a for b in values) + (sum(b == a for b in values) + 1) / 2 for a in values]

    first, second = ([float(pair[side]) for pair in pairs] for side in (0, 1))
    found = rank_correlation(np.array(first), np.array(second))
    if len(set(first)) == 1 or len(set(second)) == 1:
        assert np.isnan(found)
    else:
        assert found == pytest.approx(np.corrcoef(ranks(first), ranks(second))[0, 1], abs=1e-9)


def test_the_posterior_solves_the_normal_equations() -> None:
    random = np.random.default_rng(0)
    columns = random.normal(size=(40, 5))
    truth = np.array([1.0, -0.02, 0.03, 0.0, 0.01])
    targets = columns @ truth + random.normal(0, 0.004, 40)
    prior = Prior(np.array([1, 0, 0, 0, 0.0]), np.array([0.1, 0, 0, 0, 0]), np.arange(5) > 0)
    posterior = regress(columns, targets, prior, 0.0)
    precision = np.diag(1 / prior.variances(posterior.slope))
    information = columns.T @ columns / posterior.noise**2 + precision
    mean = np.linalg.solve(information, columns.T @ targets / posterior.noise**2 + precision @ prior.mean)
    assert np.allclose(posterior.mean, mean)
    assert np.allclose(posterior.covariance, np.linalg.inv(information))
    assert np.abs(posterior.mean - truth).max() < 0.005
    assert 0.002 < posterior.noise < 0.008


def test_noise_is_never_below_what_is_known() -> None:
    columns = np.random.default_rng(0).normal(size=(20, 2))
    prior = Prior(np.zeros(2), np.zeros(2), np.ones(2, dtype=bool))
    assert regress(columns, columns @ [0.1, 0.1], prior, 0.01).noise == 0.01
