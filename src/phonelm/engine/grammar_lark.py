"""Lark texts: the JSON schemas within them (`%json {...}`) are prepared as those that stand alone."""

from __future__ import annotations

import re
from collections.abc import Iterator

from phonelm.engine.grammar_schema import leading_schema, prepared_schema

_WORDS = re.compile(
    r"""(?://|\#)[^\n]*          # a comment
      | "(?:\\.|[^"\\\n])*"      # a text
      | /(?:\\.|[^/\\\n])+/      # a regular expression
      | (?P<json>%json)\s*""",
    re.VERBOSE,
)


def prepared_lark(text: str) -> str:
    """Return a Lark text with its schemas prepared. Raises `ValueError` as `prepared_schema` does."""
    return "".join(_pieces(text))


def _pieces(text: str) -> Iterator[str]:
    place = 0
    while found := _WORDS.search(text, place):
        yield text[place : found.end()]
        place = found.end()
        if found["json"]:
            schema, place = leading_schema(text, place)
            if isinstance(schema, dict):
                yield prepared_schema(schema)
            else:
                yield text[found.end() : place]
    yield text[place:]
