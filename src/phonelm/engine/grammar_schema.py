"""JSON schemas, prepared for the grammar engine, llguidance: followed to the letter, or refused.

The engine compiles most of JSON Schema. Before it does, what asks for nothing is left out (`grammar_idle`),
numbers are brought into a form that it does not change (`grammar_numbers`), sizes and depths that would
exhaust it are refused, and objects are closed (`grammar_objects`).
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from phonelm.engine.grammar_idle import leave_out
from phonelm.engine.grammar_numbers import (
    check_common_multiple,
    check_multiple,
    exact_value,
    is_number,
    narrow_bounds,
)
from phonelm.engine.grammar_objects import Closing, in_place, pointed_at

_MAX_DEPTH = 100
"""Of lists and objects within each other; the engine reads at most 127."""
_TOO_DEEP = f"it is nested more than {_MAX_DEPTH} deep; move parts of it to $defs"
_MAX_CHAIN = 1000
"""Of all that references lead to, one below the other: the engine follows them by recursion, in any order."""
_MAX_ITEMS = 2000
_MAX_LENGTH = 100_000
"""Sizes that the engine still writes out; greater maxima are this."""
_SIZES = {"Items": _MAX_ITEMS, "Properties": _MAX_ITEMS, "Length": _MAX_LENGTH}
_PLAIN_ESCAPES = 'nrbtf\\"'
"""Of texts: with others, a given name could be written again as one that is not given (`\\u0061` for a)."""


def prepared_schema(schema: object, closed: bool = True) -> str:
    """Return the text of a schema (a mapping or JSON text) as the engine takes it.

    `closed` says whether objects have no properties but those named, where the schema leaves that open.
    Raises `ValueError` for what is no schema, is too deep or large, or has numbers that would be changed.
    """
    root = _copied(_parsed(schema) if isinstance(schema, str) else schema)
    if not isinstance(root, dict):
        raise ValueError(f"it is {_shown(root)}; give an object")
    _Preparation(root, closed).run()
    return json.dumps(root, default=float, allow_nan=False)


class _Preparation:
    """The walk over a schema and what it leads to, in the engine's order: depth first."""

    def __init__(self, root: dict[str, Any], closed: bool) -> None:
        self._root = root
        self._closing = Closing(root) if closed else None
        self._multiples: list[Any] = []
        self._merges = False
        self._references: set[str] = set()
        self._levels = 0
        self._has_further_names = False

    def run(self) -> None:
        """Change the schema in place."""
        waiting: list[tuple[Any, bool]] = [(self._root, False)]
        seen: set[int] = set()
        while waiting:
            node, merged = waiting.pop()
            if not isinstance(node, dict) or id(node) in seen:
                continue
            seen.add(id(node))
            self._prepare(node)
            together = self._closing.close(node, merged) if self._closing else False
            self._count_levels(node)
            self._has_further_names = self._has_further_names or _has_further_names(node)
            inside = [(child, together) for child in in_place(self._root, node)]
            self._merges = self._merges or bool(inside)
            waiting += reversed(inside + [(child, False) for child in _parts(node)])
        if self._merges:
            check_common_multiple(self._multiples)
        options = self._root.setdefault("x-guidance", {}) if self._has_further_names else None
        if isinstance(options, dict):
            options.setdefault("json_allowed_escapes", _PLAIN_ESCAPES)

    def _count_levels(self, node: dict[str, Any]) -> None:
        reference = node.get("$ref")
        if isinstance(reference, str) and reference not in self._references:
            self._references.add(reference)
            self._levels += _nesting(pointed_at(self._root, reference))
        if self._levels > _MAX_CHAIN:
            raise ValueError(f"its references lead through more than {_MAX_CHAIN} levels; make it smaller")

    def _prepare(self, node: dict[str, Any]) -> None:
        leave_out(node)
        for key in ("const", "enum"):
            if key in node:
                node[key] = exact_value(node[key])
        narrow_bounds(node)
        if is_number(node.get("multipleOf")):
            check_multiple(node["multipleOf"])
            self._multiples.append(node["multipleOf"])
        if is_number(node.get("minProperties")) and node["minProperties"] > 1:
            raise ValueError(
                "minProperties is supported up to 1, or where as many are required: names may repeat"
            )
        for kind, most in _SIZES.items():
            _limit_size(node, kind, most)


def _parts(node: dict[str, Any]) -> Iterator[Any]:
    """Yield the schemas of a value's parts, and the definitions."""
    for key in ("properties", "patternProperties", "$defs", "definitions"):
        if isinstance(node.get(key), dict):
            yield from node[key].values()
    for key in ("prefixItems", "items"):
        if isinstance(node.get(key), list):
            yield from node[key]
    for key in ("items", "additionalItems", "additionalProperties"):
        yield node.get(key)


def _has_further_names(node: dict[str, Any]) -> bool:
    """Whether an object has names that are given and others that are not."""
    given = any(node.get(key) for key in ("properties", "required", "patternProperties"))
    return given and node.get("additionalProperties") is not False


def _limit_size(node: dict[str, Any], kind: str, limit: int) -> None:
    """Keep what the engine writes out item by item within bounds."""
    low, high = f"min{kind}", f"max{kind}"
    for key in (low, high):
        if is_number(node.get(key)) and node[key] == int(min(node[key], 2**63)):
            node[key] = int(min(node[key], 2**63))  # 2.0 is an integer too
    if isinstance(node.get(low), int) and node[low] > limit:
        raise ValueError(f"{low} is above {limit}, the most that is supported")
    if isinstance(node.get(high), int):
        node[high] = min(node[high], limit)


def leading_schema(text: str, place: int) -> tuple[Any, int]:
    """Return the JSON value at a place of a text and its end; where there is none, None and the place."""
    try:
        value, end = _DECODER.raw_decode(text, place)
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None
    except json.JSONDecodeError:
        return None, place
    return value, end


def _nesting(value: object) -> int:
    """Return how many lists and objects stand within each other."""
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if parts is None else 1 + max(map(_nesting, parts), default=0)


def _parsed(text: str) -> Any:
    try:
        return _DECODER.decode(text)
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None
    except json.JSONDecodeError as error:
        raise ValueError(f"it is not JSON: {error}") from None


def _decimal(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:
        raise ValueError(f"the number {text[:40]} has an exponent beyond all bounds") from None


def _refused(text: str) -> Any:
    raise ValueError(f"{text} is no JSON")


_DECODER = json.JSONDecoder(parse_float=_decimal, parse_constant=_refused)


def _copied(value: object, depth: int = 0) -> Any:
    """Return JSON's own types, with fractions as decimals. Raises `ValueError` for others, and for depth."""
    if depth > _MAX_DEPTH:
        raise ValueError(_TOO_DEEP)
    if isinstance(value, str | bool | int | None):
        return value
    if isinstance(value, float | Decimal):
        if not math.isfinite(value):
            raise ValueError(f"the number {value} is no JSON")
        return value if isinstance(value, Decimal) else Decimal(repr(value))
    if isinstance(value, Mapping):
        if others := [key for key in value if not isinstance(key, str)]:
            raise ValueError(f"a key is {others[0]!r}; give texts")
        return {str(key): _copied(one, depth + 1) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_copied(one, depth + 1) for one in value]
    raise ValueError(f"it holds a {type(value).__name__}, which JSON has not")


def _shown(value: Any) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= 40 else text[:37] + "..."
