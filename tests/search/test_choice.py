from __future__ import annotations

import numpy as np
import pytest

from phonelm.search.choice import AXES, knee, words

SHARES = np.linspace(0.0, 1.0, 101)


def trade() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A straight trade of time for loss (on a logarithmic scale), memory equal for all."""
    return np.exp(SHARES), 5 * (1 - SHARES), np.full(101, 3.0)


def test_without_a_preference_both_ends_give_up_the_same() -> None:
    assert knee(*trade(), "balance") == 50


def test_a_preferred_axis_gives_up_a_ninth() -> None:
    assert SHARES[knee(*trade(), "speed")] == pytest.approx(1 / 9, abs=0.01)
    assert SHARES[knee(*trade(), "quality")] == pytest.approx(8 / 9, abs=0.01)
    assert knee(*trade(), "memory") == 50


@pytest.mark.parametrize("prefer", AXES)
def test_one_that_is_best_in_all_is_chosen_by_all(prefer: str) -> None:
    values = np.array([3.0, 1.0, 2.0])
    assert knee(values, values, values, prefer) == 1  # type: ignore[arg-type]
    assert prefer in words(prefer)  # type: ignore[arg-type]


def test_a_single_member_is_chosen() -> None:
    one = np.array([1.0])
    assert knee(one, one, one, "balance") == 0
