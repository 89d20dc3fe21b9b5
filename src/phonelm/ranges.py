"""Numbers as callers give them: whole or not, and in a range that the native core's types can hold."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, cast

INT32_MAX = 2**31 - 1
INT64_MAX = 2**63 - 1
FLOAT32_MAX = 3.4e38


def is_whole(value: Any, low: int, high: int | None = INT32_MAX) -> bool:
    """Whether it is a whole number within a range, both ends included; `high` None: of any size."""
    is_integer = type(value) is int or isinstance(value, Integral)
    return is_integer and low <= int(value) and (high is None or int(value) <= high)


def is_real(value: Any, low: float, high: float = FLOAT32_MAX) -> bool:
    """Whether it is a number within a range, both ends included; NaN is none."""
    return isinstance(value, Real) and bool(low <= cast(Any, value) <= high)


def require_whole(name: str, value: Any, low: int, high: int = INT32_MAX) -> int:
    """Return a whole number as an `int`. Raises `ValueError` that names the range for anything else."""
    if not is_whole(value, low, high):
        raise ValueError(f"{name} is {value}; give a whole number from {low} to {high}")
    return int(value)
