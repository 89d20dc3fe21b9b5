"""Numbers of JSON schemas, in the form in which the grammar engine, llguidance, follows them to the digit.

The engine keeps numbers in doubles, which it reads exactly from up to 15 digits or from whole numbers,
bounds of integers in 64 bits, and bounds of numbers in decimal digits without an exponent. A bound that
this cannot hold is moved inwards to the next that it can: what is written is within the schema's bounds,
and a few numbers at their edge are not written. A value that must be written as it is, a `const` or an
`enum`'s, is refused instead. Numbers are int and Decimal, as the schema's text has them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, MutableMapping
from decimal import ROUND_CEILING, Context, Decimal
from typing import Any, TypeAlias

_MOST = 2**63 - 1024
"""The largest double below 2^63."""
_EXACT = 2**53
"""Up to here, integers are doubles."""
_PLACES = 15
"""Bounds have decimals up to here, for each of which the engine nests an expression; digits of fractions."""
_MAX_EXPONENT = 22
"""Powers of ten up to here are doubles."""
_MANY_DIGITS = 10**18 - 512
"""From here on a range needs both ends: the engine has no 64-bit integer of one digit more."""
_DIGITS = Context(prec=60)
_MULTIPLES = 10_000
"""The engine makes a state for each remainder."""

Number: TypeAlias = "int | Decimal"


def is_number(value: object) -> bool:
    """Whether a value of a schema is a JSON number."""
    return isinstance(value, int | Decimal) and not isinstance(value, bool)


def narrow_bounds(node: MutableMapping[str, Any]) -> None:
    """Replace the bounds of a schema by inclusive ones within them. Raises `ValueError` where none are left.

    `exclusiveMinimum: true` with a `minimum`, the form of draft 4, is understood too.
    """
    low = _narrowest(node, "minimum", "exclusiveMinimum", 1)
    high = _narrowest(node, "maximum", "exclusiveMaximum", -1)
    if low is not None and high is None and low >= _MANY_DIGITS:
        node["maximum"] = _MOST
    if high is not None and low is None and high <= -_MANY_DIGITS:
        node["minimum"] = -_MOST


def _narrowest(node: MutableMapping[str, Any], plain: str, exclusive: str, sign: int) -> Number | None:
    """Merge a bound and its exclusive form; with a sign of -1, upper bounds are lower ones negated."""
    integers = node.get("type") == "integer"
    found = []
    if is_number(node.get(plain)):
        found.append(_lowest(_signed(node[plain], sign), node.get(exclusive) is True, integers, plain))
    if is_number(node.get(exclusive)):
        found.append(_lowest(_signed(node[exclusive], sign), True, integers, exclusive))
    if node.get(exclusive) is True and plain not in node:
        raise ValueError(f"{exclusive} is true; give {plain}, or a number")
    if is_number(node.get(exclusive)) or isinstance(node.get(exclusive), bool):
        del node[exclusive]
    if not found:
        return None
    node[plain] = _signed(max(found), sign)
    return _signed(max(found), sign)


def _signed(number: Number, sign: int) -> Number:
    """Without the rounding that `Decimal` does when it multiplies."""
    if sign > 0:
        return number
    return number.copy_negate() if isinstance(number, Decimal) else -number


def _lowest(bound: Number, exclusive: bool, integers: bool, name: str) -> Number:
    """Return the least number that the engine reads as it is and that is not below (at) the bound."""
    if bound > _MOST or (exclusive and bound == _MOST):
        raise ValueError(f"{name} is beyond 64 bits; ranges end there")
    if bound < -_MOST:
        return -_MOST
    floor: int = math.floor(bound)
    whole = bound == floor
    if integers or not -_EXACT < bound < _EXACT:
        least = floor + 1 if exclusive or not whole else floor
        return least if abs(least) <= _EXACT else _whole_double(least)
    if whole and not exclusive:
        return int(bound)
    exact = Decimal(bound)
    step = Decimal(1).scaleb(max(-_PLACES, exact.adjusted() + 1 - _PLACES) if exact else -_PLACES)
    least_decimal = exact.quantize(step, ROUND_CEILING, _DIGITS)
    return _DIGITS.add(least_decimal, step) if exclusive and least_decimal == exact else least_decimal


def _whole_double(least: int) -> int:
    """Return the least double that is not below, as the engine reads it: exact, or by its digits."""
    value = float(least)
    while int(value) < least or Decimal(repr(value)) < least:
        value = math.nextafter(value, math.inf)
    return int(value)


def exact_value(value: Any) -> Any:
    """Return a value to be written as it is. Raises `ValueError` for a number that would be another."""
    if isinstance(value, dict):
        return {key: exact_value(one) for key, one in value.items()}
    if isinstance(value, list):
        return [exact_value(one) for one in value]
    if not is_number(value):
        return value
    if abs(value) <= _MOST:
        if value == int(value) == int(float(value)):
            return int(value)
        digits = Decimal(value).normalize(_DIGITS)
        places = -int(digits.as_tuple().exponent)
        if digits == value and 0 < places <= _MAX_EXPONENT and len(digits.as_tuple().digits) <= _PLACES:
            return digits
    raise ValueError(
        f"the number {_short(value)} would be written as another (a double in 64 bits); "
        "make it a text, or take a shorter number"
    )


def check_multiple(multiple: Number) -> None:
    """Raise `ValueError` for a `multipleOf` that the engine would misread, or cannot count by."""
    if multiple <= 0:
        raise ValueError(f"multipleOf is {_short(multiple)}; give a number above 0")
    if multiple <= _MULTIPLES:
        # As the engine reads it: times ten until it is whole.
        value, places = float(multiple), 0
        while value % 1 and places <= _PLACES:
            value, places = value * 10, places + 1
        if places <= _PLACES and value <= _MULTIPLES and Decimal(value).scaleb(-places, _DIGITS) == multiple:
            return
    raise ValueError(f"multipleOf {_short(multiple)} is not supported; at most four digits are counted")


def check_common_multiple(multiples: Iterable[Number]) -> None:
    """Raise `ValueError` if the common multiple of some `multipleOf` may not fit the engine's 32 bits."""
    together = [Decimal(multiple).normalize() for multiple in set(multiples)]
    places = max((max(0, -int(one.as_tuple().exponent)) for one in together), default=0)
    if len(together) > 1 and math.prod(int(one.scaleb(places, _DIGITS)) for one in together) > _MULTIPLES:
        raise ValueError(f"the common multiple of its multipleOf is above {_MULTIPLES}; give it as one")


def _short(number: Number) -> str:
    text = str(number)
    return text if len(text) <= 40 else text[:37] + "..."
