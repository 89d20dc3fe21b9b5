"""Seeded random GBNF grammars without recursion, with a regular expression of the same language and examples."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass

LITERALS = ["a", "ab", "x y", "é", "😀", '"', "\\", "/", "//", "#", "[", "]", "\n", "\t", "-", "|", "i", "%json", "(?", ""]
NAMES = ["start", "Start", "item", "a-b", "a_b", "aB", "ITEM", "r0-root", "ws", "1st", "json", "root2"]
RANGES = ["a-c", "0-9", "^a", "a", "a-", "^\\n", "&&b", "~~", "à-ü", "\\]", "^\\[", "--/", "\\x41-\\x43", "\\u00e9", '"']
SETS = ["a-c", "0-9", "^a", "a", "a\\-", "^\\n", "\\&b", "\\~", "à-ü", "\\]", "^\\[", "\\--/", "A-C", "é", '"']
MISTAKES = ['"a', "[a", "(", "none", "a ::= b", '"a"{,3}', "[z-a]", "<think>", '"\\q"', '"\\ud800"', '"a"{3,1}', "[]"]


@dataclass(frozen=True)
class Source:
    """A grammar's text, and what it must come to."""

    text: str
    pattern: re.Pattern[str]
    examples: tuple[str, ...]
    is_wrong: bool


@dataclass(frozen=True)
class _Part:
    text: str
    regex: str


def random_gbnf(rng: random.Random) -> Source:
    """A grammar of some rules, each of which names those before it."""
    rules: dict[str, _Part] = {}
    for name in rng.sample(NAMES, rng.randint(0, 4)):
        rules[name] = _alternatives(rng, rules, 2)
    root = _alternatives(rng, rules, 3)
    is_wrong = rng.random() < 0.1
    body = f"{root.text} {rng.choice(MISTAKES)}" if is_wrong else root.text
    lines = [f"root ::= {body}", *(f"{name} ::= {rule.text}" for name, rule in rules.items())]
    rng.shuffle(lines)
    gap = rng.choice(["\n", "\n\n", " # a comment\n", "\r\n"])
    pattern = re.compile(root.regex, re.DOTALL)
    return Source(gap.join(lines) + rng.choice(["", "\n"]), pattern, _examples(rng, pattern), is_wrong)


def _alternatives(rng: random.Random, rules: dict[str, _Part], depth: int) -> _Part:
    options = [_sequence(rng, rules, depth) for _ in range(rng.choice([1, 1, 2, 3]))]
    return _Part(" | ".join(one.text for one in options), "(?:" + "|".join(one.regex for one in options) + ")")


def _sequence(rng: random.Random, rules: dict[str, _Part], depth: int) -> _Part:
    items = [_item(rng, rules, depth) for _ in range(rng.randint(1, 3))]
    return _Part(" ".join(one.text for one in items), "".join(one.regex for one in items))


def _item(rng: random.Random, rules: dict[str, _Part], depth: int) -> _Part:
    part = _single(rng, rules, depth)
    for _ in range(rng.choice([0, 0, 1, 1, 2])):
        sign = rng.choice(["*", "+", "?", "{2}", "{1,}", "{0,2}", "{1,3}", "{0}"])
        part = _Part(part.text + sign, f"(?:{part.regex}){sign}")
    return part


def _single(rng: random.Random, rules: dict[str, _Part], depth: int) -> _Part:
    roll = rng.random()
    if roll < 0.3 and depth > 0:
        inner = _alternatives(rng, rules, depth - 1)
        return _Part(rng.choice(["({})", "( {} )", "(\n  {}\n)"]).format(inner.text), inner.regex)
    if roll < 0.5 and rules:
        name = rng.choice(list(rules))
        return _Part(name, rules[name].regex)
    if roll < 0.7:
        place = rng.randrange(len(RANGES))
        return _Part(f"[{RANGES[place]}]", f"[{SETS[place]}]")
    if roll < 0.75:
        return _Part(".", ".")
    text = rng.choice(LITERALS)
    return _Part(f'"{_escaped(rng, text)}"', re.escape(text))


def _escaped(rng: random.Random, text: str) -> str:
    plain = {"\n": "\\n", "\t": "\\t", '"': '\\"', "\\": "\\\\"}
    if rng.random() < 0.2:
        return "".join(f"\\U{ord(one):08x}" if rng.random() < 0.5 else plain.get(one, one) for one in text)
    return "".join(plain.get(one, one) for one in text)


def _examples(rng: random.Random, pattern: re.Pattern[str]) -> tuple[str, ...]:
    """Short texts that the expression matches, found by chance."""
    letters = ["", "a", "b", "ab", "0", "é", "x y", "/", '"', "\n", "i", "A", "-", "]"]
    texts = {"".join(rng.choice(letters) for _ in range(rng.randint(0, 4))) for _ in range(30)}
    return tuple(sorted(text for text in texts if pattern.fullmatch(text)))[:4]
