from __future__ import annotations

from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from phonelm.search import pareto_front
from phonelm.search.front import thin


def slow_front(points: np.ndarray) -> list[int]:
    """The definition, pair by pair."""
    return [
        i
        for i, p in enumerate(points)
        if not any((q <= p).all() and (q < p).any() for j, q in enumerate(points) if j != i)
    ]


@given(hnp.arrays(np.int64, st.tuples(st.integers(0, 40), st.integers(1, 4)), elements=st.integers(0, 5)))
def test_front_equals_the_definition_with_many_ties(points: np.ndarray) -> None:
    assert pareto_front(points.astype(float)).tolist() == slow_front(points)


@given(st.integers(1, 120), st.integers(1, 4), st.integers(0, 10**6))
def test_front_equals_the_definition_without_ties(count: int, objectives: int, seed: int) -> None:
    points = np.random.default_rng(seed).normal(size=(count, objectives))
    assert pareto_front(points).tolist() == slow_front(points)


@given(st.integers(600, 1500), st.integers(3, 5), st.integers(2, 400), st.integers(0, 10**6))
@settings(max_examples=15)
def test_large_fronts_are_divided_and_stay_exact(count: int, objectives: int, levels: int, seed: int) -> None:
    """Points near a plane: most are on the front, and many share a coordinate."""
    points = np.random.default_rng(seed).integers(0, levels, size=(count, objectives))
    points[:, -1] = objectives * levels - points[:, :-1].sum(axis=1)
    dominated = np.zeros(count, dtype=bool)
    for point in points:
        dominated |= (point <= points).all(axis=1) & (point < points).any(axis=1)
    with mock.patch("phonelm.search.front._BLOCK", 64):
        assert pareto_front(points).tolist() == np.flatnonzero(~dominated).tolist()


def test_one_dimension_is_refused() -> None:
    with pytest.raises(ValueError, match="objectives"):
        pareto_front(np.zeros(3))


def test_thinning_keeps_the_ends_and_the_number() -> None:
    values = np.random.default_rng(0).normal(size=1000)
    kept = thin(values, 50)
    assert len(kept) == len(set(kept.tolist())) == 50
    assert {int(values.argmin()), int(values.argmax())} <= set(kept.tolist())
    assert thin(values[:3], 50).tolist() == [0, 1, 2]
