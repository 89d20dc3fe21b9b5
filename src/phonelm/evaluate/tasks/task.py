"""A task: where its rows are, and how a row becomes a question or a prompt."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from phonelm.evaluate.questions import Prompt, Question
from phonelm.evaluate.sets import Rows

Row = dict[str, Any]


@dataclass(frozen=True)
class Form:
    """A row as text: context i stands before choice i. Where all contexts are equal, one is enough."""

    contexts: tuple[str, ...]
    choices: tuple[str, ...]
    gold: tuple[int, ...]

    @classmethod
    def of(cls, context: str, choices: Sequence[str], gold: int) -> Form:
        """One context before all choices, one of which is right."""
        return cls((context,) * len(choices), tuple(choices), (gold,))

    @property
    def solved(self) -> str:
        """The row as an example: with its right answer."""
        first = self.gold[0]
        return f"{self.contexts[first]} {self.choices[first]}"

    def question(self, before: str) -> Question:
        """The question that it asks after some examples."""
        pairs = zip(self.contexts, self.choices, strict=True)
        requests = tuple((before + context, f" {choice}") for context, choice in pairs)
        return Question(requests, self.choices, self.gold)


@dataclass(frozen=True)
class ChoiceTask:
    """A task of choices, in the prompt form of the lm-evaluation-harness task of that name."""

    name: str
    version: float
    rows: Rows
    form: Callable[[Row], Form]
    metrics: tuple[str, ...]
    about: str
    """The prompt in words, and where the rows differ from lm-evaluation-harness's."""
    examples: Rows | None = None
    """Where shots come from; None: other rows of the same set."""
    takes_first_examples: bool = False
    description: str = ""
    """Text before all examples."""
    default_shots: int = 0

    @property
    def headline(self) -> str:
        """The metric that stands for the task in a mean."""
        return "acc_norm" if "acc_norm" in self.metrics else self.metrics[0]

    def questions(self, rows: Sequence[Row], num_shots: int, seed: int) -> list[Question]:
        """The questions of some rows, each after the same `num_shots` examples drawn by the seed.

        A row is never its own example: the next one drawn takes its place. Raises `ValueError` where there
        are too few rows to draw from.
        """
        if not num_shots:
            return [self.form(row).question(self.description) for row in rows]
        drawn = self._drawn(num_shots + 1, seed)
        questions = []
        for row in rows:
            shots = [example for example in drawn if example != row][:num_shots]
            before = "".join(self.form(shot).solved + "\n\n" for shot in shots)
            questions.append(self.form(row).question(self.description + before))
        return questions

    def _drawn(self, count: int, seed: int) -> list[Row]:
        rows = (self.examples or self.rows).read()
        if self.takes_first_examples:
            if len(rows) < count - 1:
                raise ValueError(f"{self.name} has {len(rows)} examples; give --shots {len(rows)} or fewer")
            return rows[:count]
        if len(rows) < count:
            raise ValueError(f"{self.name} has {len(rows)} examples; give --shots {len(rows) - 1} or fewer")
        return random.Random(f"{seed} {self.name}").sample(rows, count)


@dataclass(frozen=True)
class PromptTask:
    """A task whose answer is written by the model; its examples are part of the prompt."""

    name: str
    version: float
    rows: Rows
    prompt: Callable[[Row], Prompt]
    is_right: Callable[[str, str], bool]
    """Whether (what the model wrote, the answer) agree."""
    about: str
    default_shots: int
    metrics: tuple[str, ...] = ("exact_match",)
    headline: str = "exact_match"


Task = ChoiceTask | PromptTask
