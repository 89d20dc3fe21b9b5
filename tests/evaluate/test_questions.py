from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from phonelm.evaluate.perplexity import mean_and_error
from phonelm.evaluate.questions import METRICS, Question

VALUES = st.lists(st.floats(-200, -1e-3), min_size=2, max_size=6)


def _question(num_choices: int, gold: tuple[int, ...], lengths: list[int] | None = None) -> Question:
    lengths = lengths or [1] * num_choices
    return Question((("q", " a"),) * num_choices, tuple("x" * length for length in lengths), gold)


@given(VALUES, st.data())
def test_accuracies_are_numpys(values: list[float], data: st.DataObject) -> None:
    lengths = data.draw(st.lists(st.integers(1, 90), min_size=len(values), max_size=len(values)))
    gold = data.draw(st.integers(0, len(values) - 1))
    question = _question(len(values), (gold,), lengths)
    assert METRICS["acc"](question, values) == float(np.argmax(values) == gold)
    normalized = np.argmax(np.array(values) / np.array(lengths, float))
    assert METRICS["acc_norm"](question, values) == float(normalized == gold)


@given(VALUES)
def test_the_right_mass_is_softmaxs(values: list[float]) -> None:
    shares = np.exp(values - np.max(values))
    shares /= shares.sum()
    question = _question(len(values), (0, 1))
    assert METRICS["mc2"](question, values) == pytest.approx(shares[0] + shares[1])


@given(st.lists(st.floats(0, 1), min_size=2, max_size=50))
def test_the_error_is_the_standard_error_of_the_mean(values: list[float]) -> None:
    mean, error = mean_and_error(values, [1] * len(values))
    assert mean == pytest.approx(np.mean(values))
    assert error == pytest.approx(np.std(values, ddof=1) / np.sqrt(len(values)), abs=1e-12)


def test_one_value_has_no_error() -> None:
    assert mean_and_error([1.0], [1]) == (1.0, None)
