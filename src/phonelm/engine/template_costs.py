"""What the operations of a chat template may cost, taken off its budget before they are executed."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from jinja2.exceptions import SecurityError
from jinja2.filters import FILTERS
from jinja2.tests import TESTS

from phonelm.engine.template_meter import MAX_INT_BITS, Meter, shallow_steps

_MOST_DIGITS = 100
_LARGEST_COUNT = 10**9

_TEXT_METHODS = """
    capitalize casefold center count endswith find format format_map index isalnum isalpha isascii isdecimal
    isdigit isidentifier islower isnumeric isprintable isspace istitle isupper join ljust lower lstrip
    partition removeprefix removesuffix replace rfind rindex rjust rpartition rsplit rstrip split splitlines
    startswith strip swapcase title upper zfill
"""
TEXT_METHODS = frozenset(_TEXT_METHODS.split())
"""Methods of strings. Not `translate`, `expandtabs` and `encode`: their results have no simple bound."""
_OTHER_METHODS = "bit_length copy count get index is_integer items keys values"
OTHER_METHODS = frozenset(_OTHER_METHODS.split())
"""Methods of lists, dicts and numbers."""

_CONSTANT = frozenset(["attr", "count", "d", "default", "first", "items", "last", "length", "random"])
LAZY_FILTERS = frozenset(["map", "reject", "rejectattr", "select", "selectattr"])
"""Filters that take their elements one by one, when somebody asks for the next."""
_COMPARING = frozenset(["dictsort", "groupby", "max", "min", "sort", "unique"])
# Nothing that a prompt needs, and quadratic in a long text.
_WITHOUT = frozenset(["pprint", "striptags", "urlize", "wordwrap", "xmlattr"])
FILTER_NAMES = frozenset(FILTERS) - _WITHOUT
READING_TESTS = frozenset(name for name, test in TESTS.items() if test.__module__ == "_operator") | {
    *("in", "lower", "upper"),
}
"""Tests that read their values to the leaves."""
DIVIDING_TESTS = frozenset(["divisibleby", "even", "odd"])
"""Tests that compute `value % number`, which formats a text."""


def spend_on_operator(meter: Meter, operator: str, left: Any, right: Any) -> None:
    """Take the cost of `left operator right` off the budget.

    Raises `OutOfSteps`, and `SecurityError` for a whole number that is too large.
    """
    if isinstance(left, int) and isinstance(right, int):
        _spend_on_integers(meter, operator, left, right)
    elif operator == "%" and isinstance(left, str):
        _spend_on_format(meter, left, right)
    else:
        times = max([1, *(value for value in (left, right) if operator == "*" and isinstance(value, int))])
        for value in (left, right):
            # A tuple is hashed to its leaves where it is a key.
            steps = meter.steps_of(value) if isinstance(value, tuple) else shallow_steps(value)
            meter.spend(steps * times)


def _spend_on_integers(meter: Meter, operator: str, left: int, right: int) -> None:
    bits = max(left.bit_length(), right.bit_length())
    if operator == "*":
        bits = left.bit_length() + right.bit_length()
    elif operator == "**":
        bits = max(bits, left.bit_length() * max(0, right))
    if bits > MAX_INT_BITS:
        raise SecurityError(f"a number of more than {MAX_INT_BITS} bits")
    meter.spend(1)


def _spend_on_format(meter: Meter, pattern: str, *values: Any) -> None:
    size = meter.steps_of(values)
    meter.spend(size + shallow_steps(pattern))
    # Widths and precisions may be values too: '%*d', '{:{}}'.
    widths = sum(_count(digits) for digits in re.findall(r"\d+", pattern)) + sum(_integers(values))
    # Up to ten characters (\U0010ffff) for one, where the form of a value is its source text.
    meter.spend((pattern.count("%") + pattern.count("{")) * size + widths)


def _count(digits: str) -> int:
    return int(digits) if len(digits) < len(str(_LARGEST_COUNT)) else _LARGEST_COUNT


def _integers(value: Any) -> Iterator[int]:
    """Return the whole numbers in a value that was paid for to its leaves."""
    if isinstance(value, int):
        yield min(abs(value), _LARGEST_COUNT)
    elif isinstance(value, (list, tuple, Mapping)):
        for item in value.values() if isinstance(value, Mapping) else value:
            yield from _integers(item)


def spend_on_method(
    meter: Meter, owner: Any, name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> tuple[Any, ...]:
    """Take the cost of a built-in method off the budget; return its arguments, iterators made lists.

    Raises `OutOfSteps`, and `SecurityError` for a method that templates may not use.
    """
    if name not in (TEXT_METHODS if isinstance(owner, str) else OTHER_METHODS):
        raise SecurityError(
            f"the method {name} of a {type(owner).__name__}, which chat templates may not use"
        )
    args = tuple(_listed(arg) for arg in args)
    meter.spend_on(*args, *kwargs.values())
    if isinstance(owner, str):
        _spend_on_text_method(meter, owner, name, args, kwargs)
    elif name in ("count", "index"):
        meter.spend_on(owner)
    else:
        meter.spend_on_top(owner)
    return args


def _spend_on_text_method(
    meter: Meter, owner: str, name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> None:
    meter.spend_on(owner)
    if name in ("center", "ljust", "rjust", "zfill"):
        meter.spend(sum(_integers(args)))
    elif name in ("format", "format_map"):
        _spend_on_format(meter, owner, args, dict(kwargs))
    elif name == "join" and args:
        meter.spend(_length(args[0]) * shallow_steps(owner))
    elif name == "replace" and len(args) > 1:
        _cost_of_replacing(meter, owner, args)


def spend_on_filter(
    meter: Meter, name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> tuple[Any, ...]:
    """Take the cost of a filter off the budget; return its arguments, iterators made lists.

    Raises `OutOfSteps`, and `SecurityError` for a number rounded to very many digits.
    """
    if name in LAZY_FILTERS or name in _CONSTANT:
        meter.spend(1)
        return args
    args = tuple(_listed(arg) for arg in args)
    meter.spend_on(*args, *kwargs.values())
    if args and (cost := _COSTS.get(name)):
        cost(meter, args[0], [*args[1:], *kwargs.values()])
    return args


def _listed(value: Any) -> Any:
    return list(value) if isinstance(value, Iterator) else value


def _length(value: Any) -> int:
    return len(value) if hasattr(value, "__len__") else 1


def _cost_of_comparing(meter: Meter, value: Any, rest: Sequence[Any]) -> None:
    comparisons = _length(value).bit_length()
    meter.spend(comparisons * meter.steps_of(value) + _length(value) * meter.steps_of(rest))


def _cost_of_sum(meter: Meter, value: Any, rest: Sequence[Any]) -> None:
    # A sum of lists is copied for each one that is added.
    is_copied = any(isinstance(start, (list, tuple)) for start in rest)
    meter.spend(_length(value) * meter.steps_of([value, *rest] if is_copied else rest))


def _cost_of_indenting(meter: Meter, value: Any, rest: Sequence[Any]) -> None:
    meter.spend((1 + str(value).count("\n")) * _width(rest))


def _cost_of_json(meter: Meter, value: Any, rest: Sequence[Any]) -> None:
    # Each element may stand on a line of its own, indented by its depth.
    meter.spend(meter.steps_of(value) * _depth(value) * _width(rest) // 8)


def _width(values: Sequence[Any]) -> int:
    flat = [item for value in values for item in (value if isinstance(value, (list, tuple)) else [value])]
    return sum(_integers(flat)) + sum(len(item) for item in flat if isinstance(item, str))


def _depth(value: Any) -> int:
    depth, level = 0, [value]
    while level:
        depth += 1
        level = [
            child
            for item in level
            if isinstance(item, (Mapping, list, tuple))
            for child in (item.values() if isinstance(item, Mapping) else item)
        ]
    return depth


def _cost_of_numbers(meter: Meter, value: Any, rest: Sequence[Any]) -> None:
    meter.spend(sum(_integers(rest)))


def _cost_of_rounding(meter: Meter, value: Any, rest: Sequence[Any]) -> None:
    if sum(_integers(rest)) > _MOST_DIGITS:
        raise SecurityError(f"a number rounded to more than {_MOST_DIGITS} digits")


def _cost_of_replacing(meter: Meter, value: Any, rest: Sequence[Any]) -> None:
    if len(rest) > 1:
        meter.spend(str(value).count(str(rest[0])) * shallow_steps(str(rest[1])))


def _cost_of_joining(meter: Meter, value: Any, rest: Sequence[Any]) -> None:
    meter.spend(_length(value) * meter.steps_of(rest))


def _cost_of_formatting(meter: Meter, value: Any, rest: Sequence[Any]) -> None:
    _spend_on_format(meter, str(value), rest)


_COSTS: dict[str, Callable[[Meter, Any, Sequence[Any]], None]] = {
    **dict.fromkeys(_COMPARING, _cost_of_comparing),
    "batch": _cost_of_numbers,
    "center": _cost_of_numbers,
    "format": _cost_of_formatting,
    "indent": _cost_of_indenting,
    "join": _cost_of_joining,
    "replace": _cost_of_replacing,
    "round": _cost_of_rounding,
    "slice": _cost_of_numbers,
    "sum": _cost_of_sum,
    "tojson": _cost_of_json,
    "truncate": _cost_of_numbers,
}
