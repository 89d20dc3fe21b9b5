"""Seeded random GBNF grammars, with a matcher of the same language and examples.

The matcher is a recogniser by sets of places: a part of a grammar is a function from the places of a text
where it may begin to those where it may end. It shares nothing with the translation under test.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

Ends = Callable[[str, frozenset[int]], frozenset[int]]

LITERALS = [
    "a",
    "ab",
    "x y",
    "é",
    "😀",
    '"',
    "\\",
    "/",
    "//",
    "#",
    "[",
    "]",
    "\n",
    "\t",
    "-",
    "|",
    "i",
    "%json",
    "(?",
    "",
]
NAMES = ["start", "Start", "item", "a-b", "a_b", "aB", "ITEM", "r0-root", "ws", "1st", "json", "root2"]
CLASSES = {
    **{
        "a-c": "a-c",
        "0-9": "0-9",
        "^a": "^a",
        "a": "a",
        "a-": "a\\-",
        "^\\n": "^\\n",
        "&&b": "\\&b",
        "~~": "\\~",
    },
    **{
        "à-ü": "à-ü",
        "\\]": "\\]",
        "^\\[": "^\\[",
        "--/": "\\--/",
        "\\x41-\\x43": "A-C",
        "\\u00e9": "é",
        '"': '"',
    },
}
"""Classes in GBNF, and in Python."""
MISTAKES = [
    '"a',
    "[a",
    "(",
    "none",
    "a ::= b",
    '"a"{,3}',
    "[z-a]",
    "<think>",
    '"\\q"',
    '"\\ud800"',
    '"a"{3,1}',
    "[]",
]
REPEATS = {
    "*": (0, None),
    "+": (1, None),
    "?": (0, 1),
    "{2}": (2, 2),
    "{1,}": (1, None),
    "{0,2}": (0, 2),
    "{0}": (0, 0),
}
LETTERS = ["", "a", "b", "ab", "0", "é", "x y", "/", '"', "\n", "i", "A", "-", "]", "(", ")"]


@dataclass(frozen=True)
class Source:
    """A grammar's text, and what it must come to."""

    text: str
    matches: Callable[[str], bool]
    examples: tuple[str, ...]
    is_wrong: bool


@dataclass(frozen=True)
class _Part:
    text: str
    ends: Ends
    make: Callable[[random.Random], str]


def random_gbnf(rng: random.Random) -> Source:
    """A grammar of some rules, each of which names those before it; some have a rule that names itself."""
    rules: dict[str, _Part] = {}
    names = rng.sample(NAMES, rng.randint(0, 4))
    if names and rng.random() < 0.4:
        name = names.pop()
        rules[name] = _nested(rng, name)
    for name in names:
        rules[name] = _alternatives(rng, rules, 1)
    root = _alternatives(rng, rules, 2)
    is_wrong = rng.random() < 0.1
    body = f"{root.text} {rng.choice(MISTAKES)}" if is_wrong else root.text
    lines = [f"{name} ::= {rule.text}" for name, rule in rules.items()]
    rng.shuffle(lines)
    lines.insert(len(lines) if is_wrong else rng.randint(0, len(lines)), f"root ::= {body}")
    gap = rng.choice(["\n", "\n\n", " # a comment\n", "\r\n"])
    examples = {root.make(rng) for _ in range(6)} | {_chance(rng) for _ in range(20)}
    return Source(
        gap.join(lines) + rng.choice(["", "\n"]),
        lambda text: len(text) in root.ends(text, frozenset([0])),
        tuple(sorted(text for text in examples if len(text) < 100)),
        is_wrong,
    )


def _chance(rng: random.Random) -> str:
    return "".join(rng.choice(LETTERS) for _ in range(rng.randint(0, 4)))


def _nested(rng: random.Random, name: str) -> _Part:
    """A rule that names itself: something, or itself between parentheses."""
    inner = _alternatives(rng, {}, 1)

    def ends(text: str, starts: frozenset[int]) -> frozenset[int]:
        found = set(inner.ends(text, starts))
        opened = frozenset(place + 1 for place in starts if text.startswith("(", place))
        if opened:
            found |= {place + 1 for place in ends(text, opened) if text.startswith(")", place)}
        return frozenset(found)

    def make(rng: random.Random) -> str:
        depth = rng.randint(0, 2)
        return "(" * depth + inner.make(rng) + ")" * depth

    return _Part(f'"(" {name} ")" | {inner.text}', ends, make)


def _alternatives(rng: random.Random, rules: Mapping[str, _Part], depth: int) -> _Part:
    options = [_sequence(rng, rules, depth) for _ in range(rng.choice([1, 1, 2, 3]))]
    return _Part(
        " | ".join(one.text for one in options),
        lambda text, starts: frozenset().union(*(one.ends(text, starts) for one in options)),
        lambda rng: rng.choice(options).make(rng),
    )


def _sequence(rng: random.Random, rules: Mapping[str, _Part], depth: int) -> _Part:
    items = [_item(rng, rules, depth) for _ in range(rng.randint(1, 2))]

    def ends(text: str, starts: frozenset[int]) -> frozenset[int]:
        for one in items:
            starts = one.ends(text, starts)
        return starts

    return _Part(
        " ".join(one.text for one in items), ends, lambda rng: "".join(one.make(rng) for one in items)
    )


def _item(rng: random.Random, rules: Mapping[str, _Part], depth: int) -> _Part:
    part = _single(rng, rules, depth)
    for _ in range(rng.choice([0, 0, 0, 1, 1, 2])):
        part = _repeated(part, rng.choice(list(REPEATS)))
    return part


def _repeated(part: _Part, sign: str) -> _Part:
    least, most = REPEATS[sign]

    def ends(text: str, starts: frozenset[int]) -> frozenset[int]:
        for _ in range(least):
            starts = part.ends(text, starts)
        found, new, count = set(starts), starts, least
        while new and (most is None or count < most):
            new = frozenset(part.ends(text, new) - found)
            found |= new
            count += 1
        return frozenset(found)

    def make(rng: random.Random) -> str:
        times = rng.randint(least, least + 2 if most is None else most)
        return "".join(part.make(rng) for _ in range(times))

    return _Part(part.text + sign, ends, make)


def _single(rng: random.Random, rules: Mapping[str, _Part], depth: int) -> _Part:
    roll = rng.random()
    if roll < 0.3 and depth > 0:
        inner = _alternatives(rng, rules, depth - 1)
        return _Part(
            rng.choice(["({})", "( {} )", "(\n  {}\n)"]).replace("{}", inner.text), inner.ends, inner.make
        )
    if roll < 0.5 and rules:
        name = rng.choice(list(rules))
        return _Part(name, rules[name].ends, rules[name].make)
    if roll < 0.7:
        gbnf, python = rng.choice(list(CLASSES.items()))
        return _of_class(f"[{gbnf}]", f"[{python}]")
    if roll < 0.75:
        return _of_class(".", "(?s:.)")
    literal = rng.choice(LITERALS)

    def ends(text: str, starts: frozenset[int]) -> frozenset[int]:
        return frozenset(place + len(literal) for place in starts if text.startswith(literal, place))

    return _Part(f'"{_escaped(rng, literal)}"', ends, lambda rng: literal)


def _of_class(text: str, expression: str) -> _Part:
    pattern = re.compile(expression)
    members = [letter for letter in 'abcdA09é/-]\n"&~z' if pattern.fullmatch(letter)]

    def ends(text: str, starts: frozenset[int]) -> frozenset[int]:
        return frozenset(place + 1 for place in starts if pattern.match(text, place))

    return _Part(text, ends, lambda rng: rng.choice(members))


def _escaped(rng: random.Random, text: str) -> str:
    plain = {"\n": "\\n", "\t": "\\t", '"': '\\"', "\\": "\\\\"}
    if rng.random() < 0.2:
        return "".join(f"\\U{ord(one):08x}" if rng.random() < 0.5 else plain.get(one, one) for one in text)
    return "".join(plain.get(one, one) for one in text)
