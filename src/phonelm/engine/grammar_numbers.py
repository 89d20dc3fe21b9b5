"""Numbers of JSON schemas, in the form in which the grammar engine, llguidance, follows them to the digit.

The engine keeps numbers in doubles, bounds of integers in 64 bits and bounds of numbers in decimal digits without
an exponent. A bound that this cannot hold is moved inwards to the next that it can: what is written is within the
schema's bounds, and a few numbers at their edge are not written. A value that must be written as it is, a `const`
or an `enum`'s, is refused instead. Numbers are int and Decimal, as the schema's text has them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, MutableMapping
from decimal import ROUND_CEILING, Context, Decimal
from typing import Any, TypeAlias

_MOST = 2**63 - 1024
"""The largest double below 2^63."""
_EXACT = 2**53
"""Up to here, integers are doubles."""
_STEP = Decimal("1e-15")
"""Bounds have decimals up to here; the engine nests an expression for each."""
_PLACES = 15
"""Decimals of a `multipleOf`."""
_MANY_DIGITS = 10**18
"""From here on a range needs both ends: the engine has no 64-bit integer of one digit more."""
_DIGITS = Context(prec=60)
_MULTIPLES = 2**32
"""The engine counts multiples in 32 bits."""

Number: TypeAlias = "int | Decimal"


def is_number(value: object) -> bool:
    """Whether a value of a schema is a JSON number."""
    return isinstance(value, int | Decimal) and not isinstance(value, bool)


def narrow_bounds(node: MutableMapping[str, Any]) -> None:
    """Replace the bounds of a schema by inclusive doubles within them. Raises `ValueError` where none are left.

    `exclusiveMinimum: true` with a `minimum`, the form of draft 4, is understood too.
    """
    ends = [_narrowest(node, "minimum", "exclusiveMinimum", 1), _narrowest(node, "maximum", "exclusiveMaximum", -1)]
    low, high = ends
    if low is not None and high is None and low >= _MANY_DIGITS:
        node["maximum"] = float(_MOST)
    if high is not None and low is None and high <= -_MANY_DIGITS:
        node["minimum"] = float(-_MOST)


def _narrowest(node: MutableMapping[str, Any], plain: str, exclusive: str, sign: int) -> float | None:
    """Merge a bound and its exclusive form; with a sign of -1, upper bounds are lower ones of the negative."""
    found = []
    if is_number(node.get(plain)):
        found.append(_lowest(_signed(node[plain], sign), node.get(exclusive) is True, plain))
    if is_number(node.get(exclusive)):
        found.append(_lowest(_signed(node[exclusive], sign), True, exclusive))
    if is_number(node.get(exclusive)) or isinstance(node.get(exclusive), bool):
        node.pop(exclusive, None)
    if found:
        node[plain] = sign * max(found)
    return sign * max(found) if found else None


def _signed(number: Number, sign: int) -> Number:
    """Without the rounding that `Decimal` does when it multiplies."""
    if sign > 0:
        return number
    return number.copy_negate() if isinstance(number, Decimal) else -number


def _lowest(bound: Number, exclusive: bool, name: str) -> float:
    """Return the least double that the engine can count from and that is not below (at) the bound."""
    if bound > _MOST or (exclusive and bound == _MOST):
        raise ValueError(f"{name} is beyond 64 bits; ranges end there")
    if bound < -_MOST:
        return float(-_MOST)
    least = Decimal(bound).quantize(_STEP, ROUND_CEILING, _DIGITS)
    if exclusive and least == bound:
        least = _DIGITS.add(least, _STEP)
    value = float(least)
    while _as_read(value) < least:
        value = math.nextafter(value, math.inf)
    return value


def _as_read(value: float) -> Decimal:
    """The lesser of a double's two readings in the engine: its shortest digits, and its 64-bit integer."""
    shortest = Decimal(repr(value))
    return min(shortest, Decimal(value)) if abs(value) >= _EXACT else shortest


def check_value(value: Any) -> None:
    """Raise `ValueError` if a JSON value that must be written as it is has a number that would be another."""
    for number in _numbers(value):
        if not _is_exact(number):
            raise ValueError(
                f"the number {_short(number)} would be written as another (a double in 64 bits); "
                "make it a text, or take a shorter number"
            )


def _numbers(value: Any) -> Iterator[Number]:
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            waiting += one.values()
        elif isinstance(one, list):
            waiting += one
        elif is_number(one):
            yield one


def _is_exact(number: Number) -> bool:
    if abs(number) > _MOST:
        return False
    double = float(number)
    if isinstance(number, int):
        return int(double) == number
    if double.is_integer() and Decimal(double) != number:
        return False
    return Decimal(repr(double)) == number


def check_multiple(multiple: Number) -> None:
    """Raise `ValueError` if the engine would take a `multipleOf` for another number, or cannot count by it."""
    if multiple <= 0:
        raise ValueError(f"multipleOf is {_short(multiple)}; give a number above 0")
    if multiple < _MULTIPLES:
        # As the engine reads it: times ten until it is whole.
        value, places = float(multiple), 0
        while value % 1:
            value, places = value * 10, places + 1
        if places <= _PLACES and value < _MULTIPLES and Decimal(value).scaleb(-places, _DIGITS) == multiple:
            return
    raise ValueError(f"multipleOf {_short(multiple)} has too many digits; at most 9 are counted")


def check_common_multiple(multiples: Iterable[Number]) -> None:
    """Raise `ValueError` if the common multiple of some `multipleOf` may not fit the engine's 32 bits."""
    together = [Decimal(multiple).normalize() for multiple in set(multiples)]
    places = max((max(0, -int(one.as_tuple().exponent)) for one in together), default=0)
    if len(together) > 1 and math.prod(int(one.scaleb(places, _DIGITS)) for one in together) >= _MULTIPLES:
        raise ValueError("the common multiple of its multipleOf may have too many digits; give it as one")


def _short(number: Number) -> str:
    text = str(number)
    return text if len(text) <= 40 else text[:37] + "..."
