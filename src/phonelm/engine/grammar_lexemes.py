"""Which rules of a grammar the grammar engine, llguidance, may read by an automaton, as lexemes.

The engine takes a lexeme as long as it can be: after `ws ::= [ \\n]*` no newline can follow, for `ws` has
taken it. Read character by character a rule is followed exactly, but slowly. So a rule is a lexeme where
the length of a match is never in doubt: no character that may follow a lexeme continues it, or another
lexeme that begins with it. What may follow is computed as in textbooks (FOLLOW; Aho, Sethi and Ullman,
section 4.4), what may continue by the position automaton (Glushkov, 1961). Sets of characters are sets of
the first bytes of their UTF-8 form, as bits: the engine reads bytes, and it is at such a byte that it
decides.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from phonelm.engine.grammar_nodes import Characters, Choice, Literal, Node, Reference, Repeat, Sequence, parts

_MAX_POSITIONS = 300
"""Of an automaton that is looked at; larger rules are read character by character where it matters."""


def lexemes_among(rules: Mapping[str, Node], regular: set[str]) -> set[str]:
    """Return the rules, of those without recursion, that may be lexemes in rules that are none."""
    lexemes = set(regular)
    while doubtful := _doubtful(rules, lexemes):
        lexemes -= doubtful
    return lexemes


def _doubtful(rules: Mapping[str, Node], lexemes: set[str]) -> set[str]:
    """Return lexemes that may go on where they, or what they begin with, should end."""
    follow = _Follow(rules, lexemes)
    if not any(follow.of_rule[name] for name in lexemes) and not any(follow.of_character.values()):
        return set()
    # A lexeme within lexemes only is no lexeme of its own.
    used = {name for name in lexemes if name in follow.used}
    automata = {name: _automaton(rules, name) for name in used}
    large = {name for name, automaton in automata.items() if automaton is None and follow.of_rule[name]}
    if large:
        return large
    endings = [(one, follow.of_rule[name]) for name, one in automata.items() if one]
    endings += [
        (_Automaton(False, {0}, {0}, [mask], [set()]), after) for mask, after in follow.of_character.items()
    ]
    return {
        name
        for name, automaton in automata.items()
        if automaton is None or any(after & _continuations(one, automaton) for one, after in endings)
    }


def first_bytes(node: Characters | Literal) -> int:
    """Return the first bytes of a character, or of a literal's first, as bits."""
    if isinstance(node, Literal):
        return 1 << node.text[0].encode()[0]
    mask = 0
    for low, high in _outside(node.ranges) if node.negated else node.ranges:
        mask |= (2 << _lead(high)) - (1 << _lead(low))
    return mask


def _outside(ranges: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    start = 0
    for low, high in sorted(ranges):
        if low > start:
            yield start, low - 1
        start = max(start, high + 1)
    if start <= 0x10FFFF:
        yield start, 0x10FFFF


def _lead(code: int) -> int:
    """The first byte of a code point in UTF-8; of those without one, surrogates, as if they had."""
    if code < 0x80:
        return code
    if code < 0x800:
        return 0xC0 | code >> 6
    return 0xE0 | code >> 12 if code < 0x10000 else 0xF0 | code >> 18


class _Follow:
    """First bytes of what may follow each rule and each character, where lexemes are read as one."""

    def __init__(self, rules: Mapping[str, Node], lexemes: set[str]) -> None:
        self._rules = rules
        self._first = dict.fromkeys(rules, 0)
        self._nullable = dict.fromkeys(rules, False)
        self.of_rule = dict.fromkeys(rules, 0)
        self.of_character: dict[int, int] = {}
        self.used = {"root"}
        before = None
        while before != (before := (dict(self._first), dict(self._nullable))):
            for name, node in rules.items():
                self._first[name], self._nullable[name] = self._begin(node)
        others = [name for name in rules if name not in lexemes]
        changed = True
        while changed:
            known = sum(map(int.bit_count, self.of_rule.values()))
            for name in others:
                self._pass(rules[name], self.of_rule[name])
            changed = known != sum(map(int.bit_count, self.of_rule.values()))

    def _begin(self, node: Node) -> tuple[int, bool]:
        """First bytes of a node's texts, and whether the empty text is one."""
        if isinstance(node, Reference):
            return self._first[node.name], self._nullable[node.name]
        if isinstance(node, Literal) and not node.text:
            return 0, True
        if isinstance(node, Literal | Characters):
            return first_bytes(node), False
        if isinstance(node, Repeat):
            first, nullable = self._begin(node.item)
            return (0, True) if node.most == 0 else (first, nullable or node.least == 0)
        if isinstance(node, Choice):
            begins = [self._begin(one) for one in node.options]
            return _union(first for first, _ in begins), any(nullable for _, nullable in begins)
        first = 0
        for one in node.items:
            more, nullable = self._begin(one)
            first |= more
            if not nullable:
                return first, False
        return first, True

    def _pass(self, node: Node, after: int) -> None:
        """Tell what is below a node what may come after it."""
        if isinstance(node, Reference):
            self.of_rule[node.name] |= after
            self.used.add(node.name)
        elif isinstance(node, Characters):
            mask = first_bytes(node)
            self.of_character[mask] = self.of_character.get(mask, 0) | after
        elif isinstance(node, Literal):
            if node.text:
                self._pass(Sequence(tuple(Characters(((ord(one), ord(one)),)) for one in node.text)), after)
        elif isinstance(node, Sequence):
            for one in reversed(node.items):
                self._pass(one, after)
                first, nullable = self._begin(one)
                after = first | (after if nullable else 0)
        elif isinstance(node, Choice):
            for one in node.options:
                self._pass(one, after)
        elif node.most != 0:
            again = self._begin(node.item)[0] if node.most != 1 else 0
            self._pass(node.item, after | again)


@dataclass
class _Automaton:
    """A position automaton: each character of a rule is a position, with its first bytes."""

    nullable: bool
    first: set[int]
    last: set[int]
    masks: list[int]
    follow: list[set[int]]


def _automaton(rules: Mapping[str, Node], name: str) -> _Automaton | None:
    """Return a rule's automaton, with what it refers to; None where that is too large."""
    built = _Automaton(False, set(), set(), [], [])
    try:
        built.nullable, built.first, built.last = _build(rules, rules[name], built)
    except OverflowError:
        return None
    return built


def _build(rules: Mapping[str, Node], node: Node, into: _Automaton) -> tuple[bool, set[int], set[int]]:
    if isinstance(node, Reference):
        return _build(rules, rules[node.name], into)
    if isinstance(node, Literal):
        return _chain([_build(rules, Characters(((ord(one), ord(one)),)), into) for one in node.text], into)
    if isinstance(node, Characters):
        place = len(into.masks)
        if place >= _MAX_POSITIONS:
            raise OverflowError
        into.masks.append(first_bytes(node))
        into.follow.append(set())
        return False, {place}, {place}
    built = [_build(rules, one, into) for one in parts(node)]
    if isinstance(node, Sequence):
        return _chain(built, into)
    if isinstance(node, Choice):
        firsts, lasts = [one[1] for one in built], [one[2] for one in built]
        return any(one[0] for one in built), set().union(*firsts), set().union(*lasts)
    nullable, first, last = built[0]
    if node.most == 0:
        return True, set(), set()
    if node.most != 1:
        for place in last:
            into.follow[place] |= first
    return nullable or node.least == 0, first, last


def _chain(
    built: Iterable[tuple[bool, set[int], set[int]]], into: _Automaton
) -> tuple[bool, set[int], set[int]]:
    nullable, first, last = True, set[int](), set[int]()
    for its_nullable, its_first, its_last in built:
        for place in last:
            into.follow[place] |= its_first
        first = first | its_first if nullable else first
        last = last | its_last if its_nullable else its_last
        nullable = nullable and its_nullable
    return nullable, first, last


def _continuations(ending: _Automaton, longer: _Automaton) -> int:
    """Return the first bytes by which the longer automaton goes on after a whole text of the ending one."""
    found = 0
    waiting = [(one, other) for one in ending.first for other in longer.first]
    seen = set()
    while waiting:
        pair = one, other = waiting.pop()
        if pair in seen or not ending.masks[one] & longer.masks[other]:
            continue
        seen.add(pair)
        if one in ending.last:
            found |= _union(longer.masks[place] for place in longer.follow[other])
        waiting += [(place, further) for place in ending.follow[one] for further in longer.follow[other]]
    return found


def _union(masks: Iterable[int]) -> int:
    union = 0
    for mask in masks:
        union |= mask
    return union
