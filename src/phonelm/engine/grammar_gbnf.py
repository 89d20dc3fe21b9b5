"""GBNF, llama.cpp's form of grammars, written in the Lark dialect of the grammar engine, llguidance.

The syntax is that of llama.cpp's parser (`src/llama-grammar.cpp`), without references to tokens (`<think>`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping

_MAX_REPEATS = 2000
"""As in llama.cpp."""
_MAX_DEPTH = 100
"""Of groups within groups, and of rules that name rules: the engine follows both by recursion."""
_SPACE = re.compile(r"(?:[ \t]|#[^\r\n]*)*")
_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\r\n]*)*")
_NAME = re.compile(r"[\w-]+")
_ESCAPED = re.compile(r'\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([trn\\"\[\]-]))')
_REPEATS = re.compile(r"\{\s*(\d+)\s*(?:(,)\s*(\d+)?\s*)?\}")
_CONTROLS = {"t": "\t", "r": "\r", "n": "\n"}


class _Reference(str):
    """The name of a rule within a rule's pieces of Lark text."""


_Pieces = list[str]
"""Lark text; the references in it get their names in the end."""


def lark_of(text: str) -> str:
    """Return the Lark text of a GBNF grammar, whose rule `start` is the grammar's `root`.

    A rule that does not contain itself becomes a terminal, which the engine reads by an automaton. Raises
    `ValueError` for what is not GBNF, with the line.
    """
    rules: dict[str, _Pieces] = {}
    for name, pieces in _Parser(text).rules():
        if name in rules:
            raise ValueError(f"the rule {name!r} stands there twice; keep one")
        rules[name] = pieces
    if "root" not in rules:
        raise ValueError("No 'root' rule found; name the first rule 'root'")
    terminals = _terminals(rules)
    names = {name: _lark_name(number, name, name in terminals) for number, name in enumerate(rules)}
    lines = [f"start: {names['root']}"]
    for name, pieces in rules.items():
        body = "".join(names[piece] if isinstance(piece, _Reference) else piece for piece in pieces)
        lines.append(f"{names[name]}: {body}")
    return "\n".join(lines) + "\n"


def _lark_name(number: int, name: str, terminal: bool) -> str:
    """A name that no other rule has, whatever the case and the punctuation of theirs."""
    lark = f"r{number}_{re.sub('[^a-zA-Z0-9]', '_', name)}"
    return lark.upper() if terminal else lark.lower()


def _terminals(rules: Mapping[str, _Pieces]) -> set[str]:
    """Return the rules that do not lead back to themselves (Kahn's order of the references)."""
    needs = {name: {piece for piece in pieces if isinstance(piece, _Reference)} for name, pieces in rules.items()}
    users: dict[str, list[str]] = {name: [] for name in rules}
    for name, used in needs.items():
        for other in used:
            if other not in rules:
                raise ValueError(f"Rule '{other}' not found; the rule {name!r} names it")
            users[other].append(name)
    depth = dict.fromkeys(rules, 1)
    ready = [name for name, used in needs.items() if not used]
    for name in ready:
        if depth[name] > _MAX_DEPTH:
            raise ValueError(f"rules name rules more than {_MAX_DEPTH} deep, down to {name!r}; join some")
        for user in users[name]:
            depth[user] = max(depth[user], depth[name] + 1)
            needs[user].discard(_Reference(name))
            if not needs[user]:
                ready.append(user)
    return set(ready)


class _Parser:
    """One reading of a text, from its begin to its end."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._place = 0
        self._depth = 0

    def rules(self) -> Iterator[tuple[str, _Pieces]]:
        """Yield the rules: name and Lark pieces."""
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

    def _alternatives(self, space: re.Pattern[str]) -> _Pieces:
        pieces = self._sequence(space)
        while self._take("|"):
            self._skip(_BLANK)
            pieces += [" | ", *self._sequence(space)]
        return pieces

    def _sequence(self, space: re.Pattern[str]) -> _Pieces:
        pieces: _Pieces = []
        while item := self._item():
            self._skip(space)
            while repeats := self._repeats():
                item = ["(", *item, ")", repeats] if repeats != "{0,0}" else ['""']
                self._skip(space)
            pieces += [" " if pieces else "", *item]
        return pieces or ['""']

    def _item(self) -> _Pieces:
        """One thing that a repetition may follow, or nothing."""
        if self._take('"'):
            return [_quoted("".join(self._characters('"')))]
        if self._take("["):
            return [self._class()]
        if self._take("("):
            return self._group()
        if self._take("."):
            return ["/(?s:.)/"]
        if self._next() in ("<", "!"):
            raise self._error("tokens (<name>) are not supported; write their text")
        return [_Reference(self._name())] if _NAME.match(self._text, self._place) else []

    def _group(self) -> _Pieces:
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise self._error(f"more than {_MAX_DEPTH} groups within each other; make some a rule")
        self._skip(_BLANK)
        pieces = self._alternatives(_BLANK)
        if not self._take(")"):
            raise self._error("Expected ')'")
        self._depth -= 1
        return ["(", *pieces, ")"]

    def _class(self) -> str:
        start = "[^" if self._take("^") else "["
        ranges = []
        for first in self._characters("]"):
            last = first
            if self._next() == "-" and not self._text.startswith("]", self._place + 1):
                self._take("-")
                last = self._character()
            if first > last:
                raise self._error(f"the range from {first!r} to {last!r} is empty; exchange its ends")
            ranges.append(rf"\x{{{ord(first):x}}}-\x{{{ord(last):x}}}")
        if not ranges:
            raise self._error("a class of no characters")
        return f"/{start}{''.join(ranges)}]/"

    def _repeats(self) -> str:
        """A repetition in Lark, or nothing."""
        for sign in "*+?":
            if self._take(sign):
                return sign
        if self._next() != "{":
            return ""
        found = _REPEATS.match(self._text, self._place)
        if not found:
            raise self._error("Expected {m}, {m,} or {m,n}")
        least, most = found[1], found[3] if found[2] else found[1]
        if len(least) > 4 or len(most or "") > 4 or max(int(least), int(most or 0)) > _MAX_REPEATS:
            raise self._error(f"more than {_MAX_REPEATS} repetitions")
        if most and int(most) < int(least):
            raise self._error("the most repetitions are fewer than the least")
        self._place = found.end()
        return f"{{{int(least)},{int(most) if most else ''}}}"

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


def _quoted(text: str) -> str:
    """A literal; characters that a Lark string cannot hold as they are become escapes."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
