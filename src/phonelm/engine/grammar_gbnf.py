"""GBNF, llama.cpp's form of grammars, as nodes.

The syntax is that of llama.cpp's parser (`src/llama-grammar.cpp`), without references to tokens (`<think>`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from phonelm.engine.grammar_nodes import Characters, Choice, Literal, Node, Reference, Repeat, Sequence

_MAX_REPEATS = 2000
"""As in llama.cpp."""
_MAX_DEPTH = 50
"""Of groups within groups: they are followed by recursion."""
_SPACE = re.compile(r"(?:[ \t]|#[^\r\n]*)*")
_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\r\n]*)*")
_NAME = re.compile(r"[\w-]+")
_ESCAPED = re.compile(r'\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([trn\\"\[\]-]))')
_REPEATS = re.compile(r"\{\s*(\d+)\s*(?:(,)\s*(\d+)?\s*)?\}")
_CONTROLS = {"t": "\t", "r": "\r", "n": "\n"}
_SIGNS: dict[str, tuple[int, int | None]] = {"*": (0, None), "+": (1, None), "?": (0, 1)}


def parse_gbnf(text: str) -> dict[str, Node]:
    """Return the rules of a text by name. Raises `ValueError` for what is not GBNF, with the line."""
    rules: dict[str, Node] = {}
    for name, node in _Parser(text).rules():
        if name in rules:
            raise ValueError(f"the rule {name!r} stands there twice; keep one")
        rules[name] = node
    return rules


def _repeated(item: Node, least: int, most: int | None) -> Node:
    """Repeat a node; (x+)* becomes x*, where the engine would follow every way to split what matches."""
    if isinstance(item, Repeat) and item.least <= 1 and item.most is None and most != 0:
        return Repeat(item.item, item.least * least, None)
    return Repeat(item, least, most)


class _Parser:
    """One reading of a text, from its begin to its end."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._place = 0
        self._depth = 0

    def rules(self) -> Iterator[tuple[str, Node]]:
        """Yield names and what they stand for."""
        self._skip(_BLANK)
        while self._next():
            name = self._name()
            self._skip(_SPACE)
            if not self._take("::="):
                raise self._error("Expected ::=")
            self._skip(_BLANK)
            yield name, self._alternatives(_SPACE)
            if self._next() not in ("", "\r", "\n"):
                raise self._error("Expected a newline or the end")
            self._skip(_BLANK)

    def _alternatives(self, space: re.Pattern[str]) -> Node:
        options = [self._sequence(space)]
        while self._take("|"):
            self._skip(_BLANK)
            options.append(self._sequence(space))
        return Choice(tuple(options)) if len(options) > 1 else options[0]

    def _sequence(self, space: re.Pattern[str]) -> Node:
        items: list[Node] = []
        while item := self._item():
            self._skip(space)
            while repeats := self._repeats():
                item = _repeated(item, *repeats)
                self._skip(space)
            items.append(item)
        return items[0] if len(items) == 1 else Sequence(tuple(items))

    def _item(self) -> Node | None:
        """One thing that a repetition may follow, or nothing."""
        if self._take('"'):
            return Literal("".join(self._characters('"')))
        if self._take("["):
            return self._class()
        if self._take("("):
            return self._group()
        if self._take("."):
            return Characters(((0, 0x10FFFF),))
        if self._next() in ("<", "!"):
            raise self._error("tokens (<name>) are not supported; write their text")
        return Reference(self._name()) if _NAME.match(self._text, self._place) else None

    def _group(self) -> Node:
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise self._error(f"more than {_MAX_DEPTH} groups within each other; make some a rule")
        self._skip(_BLANK)
        inside = self._alternatives(_BLANK)
        if not self._take(")"):
            raise self._error("Expected ')'")
        self._depth -= 1
        return inside

    def _class(self) -> Node:
        negated = self._take("^")
        ranges = []
        for first in self._characters("]"):
            last = first
            if self._next() == "-" and not self._text.startswith("]", self._place + 1):
                self._take("-")
                last = self._character()
            if first > last:
                raise self._error(f"the range from {first!r} to {last!r} is empty; exchange its ends")
            ranges.append((ord(first), ord(last)))
        if not ranges:
            raise self._error("a class of no characters")
        return Characters(tuple(ranges), negated)

    def _repeats(self) -> tuple[int, int | None] | None:
        """The least and the most times, if a repetition comes next."""
        for sign, repeats in _SIGNS.items():
            if self._take(sign):
                return repeats
        if self._next() != "{":
            return None
        found = _REPEATS.match(self._text, self._place)
        if not found:
            raise self._error("Expected {m}, {m,} or {m,n}")
        least, most = found[1], found[3] if found[2] else found[1]
        if len(least) > 4 or len(most or "") > 4 or max(int(least), int(most or 0)) > _MAX_REPEATS:
            raise self._error(f"more than {_MAX_REPEATS} repetitions")
        if most and int(most) < int(least):
            raise self._error("the most repetitions are fewer than the least")
        self._place = found.end()
        return int(least), int(most) if most else None

    def _characters(self, end: str) -> Iterator[str]:
        """Yield the characters, escaped ones as what they stand for, up to an end, which is taken."""
        while not self._take(end):
            yield self._character()

    def _character(self) -> str:
        if not self._next():
            raise self._error("Unexpected end of input")
        if self._next() != "\\":
            self._place += 1
            return self._text[self._place - 1]
        found = _ESCAPED.match(self._text, self._place)
        if not found:
            raise self._error("Invalid escape")
        if found[4]:
            self._place = found.end()
            return _CONTROLS.get(found[4], found[4])
        code = int(found[1] or found[2] or found[3], 16)
        if code > 0x10FFFF or 0xD800 <= code < 0xE000:
            raise self._error(f"{found[0]} is no character")
        self._place = found.end()
        return chr(code)

    def _name(self) -> str:
        found = _NAME.match(self._text, self._place)
        if not found:
            raise self._error("Expected a name")
        self._place = found.end()
        return found[0]

    def _next(self) -> str:
        return self._text[self._place : self._place + 1]

    def _take(self, text: str) -> bool:
        """Go over a text, if it comes next."""
        if not self._text.startswith(text, self._place):
            return False
        self._place += len(text)
        return True

    def _skip(self, space: re.Pattern[str]) -> None:
        if found := space.match(self._text, self._place):
            self._place = found.end()

    def _error(self, message: str) -> ValueError:
        line = self._text.count("\n", 0, self._place) + 1
        rest = self._text[self._place : self._place + 20]
        return ValueError(f"{message} at line {line}, before {rest!r}")
