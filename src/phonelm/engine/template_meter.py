"""The budget of one rendering of a chat template: steps of work, which bound its time and its memory."""

from __future__ import annotations

from collections.abc import ItemsView, KeysView, Mapping, ValuesView
from itertools import chain
from typing import Any

from jinja2 import TemplateError
from jinja2.utils import Namespace

BASE_STEPS = 2_000_000
"""A loop of so many steps takes about a second."""
STEPS_PER_INPUT = 100
"""Steps more for each step of the input's size: a template that is linear in the messages never runs out."""
MAX_INT_BITS = 4096
_STEPS_PER_CONTAINER = 8
_CHARACTERS_PER_STEP = 8
_SIZED = (list, tuple, dict, range, set, frozenset, KeysView, ValuesView, ItemsView, Mapping)


class OutOfSteps(TemplateError):  # noqa: N818  (not an error of the caller)
    """The template has used up its budget."""


class Meter:
    """Counts the steps of a rendering. A step is about 8 bytes of memory, or 0.1 to 1 microsecond."""

    def __init__(self, input_steps: int) -> None:
        self._limit = self._left = BASE_STEPS + STEPS_PER_INPUT * input_steps

    def spend(self, steps: int) -> None:
        """Take `steps` off the budget. Raises `OutOfSteps` below 0, then and at every later call."""
        self._left -= steps
        if self._left < 0:
            raise OutOfSteps(f"it takes more than {self._limit:,} steps and may never end")

    def spend_on(self, *values: Any) -> None:
        """Take what it costs to read `values` to their leaves, as `str`, JSON, `==` and `hash` do."""
        for value in values:
            self.spend(self.steps_of(value))

    def steps_of(self, value: Any) -> int:
        """Return the steps of `value` as a tree, or some number above what is left."""
        return shallow_steps(value) if isinstance(value, str) else deep_steps(value, self._left)

    def spend_on_top(self, value: Any) -> None:
        """Take what it costs to copy `value` without what its elements hold."""
        self.spend(shallow_steps(value))


def shallow_steps(value: Any) -> int:
    """Return the steps of a string, of a container without what its elements hold, else 1."""
    if isinstance(value, str):
        return 1 + len(value) // _CHARACTERS_PER_STEP
    if value is None or isinstance(value, (int, float)):
        return 1 + value.bit_length() // 64 if isinstance(value, int) else 1
    return _STEPS_PER_CONTAINER + len(value) if isinstance(value, _SIZED) else 1


def deep_steps(value: Any, limit: int) -> int:
    """Return the steps of `value` as a tree, every reference followed; some number above `limit` if more."""
    steps, pending = 0, [iter((value,))]
    while pending and steps <= limit:
        for item in pending[-1]:
            steps += shallow_steps(item)
            if not isinstance(item, str) and (children := _children(item)) is not None:
                pending.append(children)
                break
            if steps > limit:
                break
        else:
            pending.pop()
    return steps


def _children(value: Any) -> Any:
    if isinstance(value, (list, tuple, set, frozenset, KeysView, ValuesView)):
        return iter(value)
    if isinstance(value, Mapping):
        return chain.from_iterable(value.items())
    if isinstance(value, ItemsView):
        return chain.from_iterable(value)
    if isinstance(value, Namespace):
        return chain.from_iterable(value._Namespace__attrs.items())
    return None
