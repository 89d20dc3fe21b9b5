"""What a task asks of a model, and what its answers are worth."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Question:
    """Choices to be scored: each a (context, continuation), with the choice's own text for its length."""

    requests: tuple[tuple[str, str], ...]
    choices: tuple[str, ...]
    gold: tuple[int, ...]
    """The right ones; most tasks have one."""


@dataclass(frozen=True)
class Prompt:
    """A text to be continued up to one of the stops, and the right answer."""

    text: str
    stops: tuple[str, ...]
    max_tokens: int
    answer: str


def _best(values: Sequence[float]) -> int:
    # The first of equal ones, as numpy's argmax in lm-evaluation-harness.
    return max(range(len(values)), key=lambda index: (values[index], -index))


def accuracy(question: Question, log_probabilities: Sequence[float]) -> float:
    """1.0 where the most likely choice is right, else 0.0."""
    return float(_best(log_probabilities) in question.gold)


def normalized_choice(question: Question, log_probabilities: Sequence[float]) -> int:
    """The most likely choice per character of its text, lm-evaluation-harness's `acc_norm`."""
    pairs = zip(log_probabilities, question.choices, strict=True)
    return _best([value / max(len(text), 1) for value, text in pairs])


def normalized_accuracy(question: Question, log_probabilities: Sequence[float]) -> float:
    """1.0 where the choice that is most likely per character is right, else 0.0."""
    return float(normalized_choice(question, log_probabilities) in question.gold)


def right_mass(question: Question, log_probabilities: Sequence[float]) -> float:
    """The right choices' share of the probability of all, TruthfulQA's `mc2`."""
    highest = max(log_probabilities)
    masses = [math.exp(value - highest) for value in log_probabilities]
    return sum(masses[index] for index in question.gold) / sum(masses)


Metric = Callable[[Question, Sequence[float]], float]
METRICS: dict[str, Metric] = {
    "acc": accuracy,
    "acc_norm": normalized_accuracy,
    "mc2": right_mass,
}
