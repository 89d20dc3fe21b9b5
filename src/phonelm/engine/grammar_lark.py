"""Lark texts: the JSON schemas within them (`%json {...}`) are prepared as those that stand alone."""

from __future__ import annotations

import re
from collections.abc import Iterator

from phonelm.engine.grammar_schema import leading_schema, prepared_schema

_MAX_LEVELS = 1500
"""Of groups within each other, of all rules together: the engine follows the names of rules by recursion."""
_WORDS = re.compile(
    r"""(?://|\#)[^\n]*          # a comment
      | "(?:\\.|[^"\\\n])*"      # a text
      | /(?:\\.|[^/\\\n])+/      # a regular expression
      | (?P<json>%json)\s*
      | (?P<sign>[:()\[\]])""",
    re.VERBOSE,
)


def prepared_lark(text: str) -> str:
    """Return a Lark text with its schemas prepared. Raises `ValueError` as for schemas, and for size."""
    signs: list[str] = []
    prepared = "".join(_pieces(text, signs))
    if _levels(signs) > _MAX_LEVELS:
        raise ValueError(f"its rules have more than {_MAX_LEVELS} levels together; make them fewer")
    return prepared


def _pieces(text: str, signs: list[str]) -> Iterator[str]:
    place = 0
    while found := _WORDS.search(text, place):
        yield text[place : found.end()]
        place = found.end()
        if found["sign"]:
            signs.append(found["sign"])
        if found["json"]:
            schema, place = leading_schema(text, place)
            yield prepared_schema(schema) if isinstance(schema, dict) else text[found.end() : place]
    yield text[place:]


def _levels(signs: list[str]) -> int:
    """Count the rules, which a colon outside of groups begins, and the groups within each other in each."""
    levels = depth = deepest = 0
    for sign in signs:
        depth = max(0, depth + (sign in "([") - (sign in ")]"))
        deepest = max(deepest, depth)
        if sign == ":" and depth == 0:
            levels += 1 + deepest
            deepest = 0
    return levels + deepest
