"""GBNF grammars in the Lark dialect of the grammar engine, llguidance."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from phonelm.engine.grammar_gbnf import parse_gbnf
from phonelm.engine.grammar_lexemes import lexemes_among
from phonelm.engine.grammar_nodes import (
    Characters,
    Choice,
    Literal,
    Node,
    Reference,
    Sequence,
    levels,
    references,
)

_MAX_LEVELS = 1500
"""Of all rules together, one within the other: the engine follows rules that name rules by recursion."""


def lark_of(text: str) -> str:
    """Return the Lark text of a GBNF grammar, whose rule `start` is the grammar's `root`.

    Rules that may be lexemes become terminals, others are read character by character. Raises `ValueError`
    for what is not GBNF, and for a rule that is missing.
    """
    rules = parse_gbnf(text)
    if "root" not in rules:
        raise ValueError("No 'root' rule found; name the first rule 'root'")
    if sum(1 + levels(node) for node in rules.values()) > _MAX_LEVELS:
        raise ValueError(
            f"the rules have more than {_MAX_LEVELS} levels together; make them fewer or flatter"
        )
    lexemes = lexemes_among(rules, _regular(rules))
    names = {name: _lark_name(number, name, name in lexemes) for number, name in enumerate(rules)}
    lines = [f"{names[name]}: {_written(node, names, name in lexemes)}" for name, node in rules.items()]
    return "\n".join([f"start: {names['root']}", *lines, ""])


def _lark_name(number: int, name: str, lexeme: bool) -> str:
    """A name that no other rule has, whatever the case and the punctuation of theirs."""
    lark = f"r{number}_{re.sub('[^a-zA-Z0-9]', '_', name)}"
    return lark.upper() if lexeme else lark.lower()


def _regular(rules: Mapping[str, Node]) -> set[str]:
    """Return the rules that do not lead back to themselves (Kahn's order of the references)."""
    needs = {name: references(node) for name, node in rules.items()}
    users: dict[str, list[str]] = {name: [] for name in rules}
    for name, used in needs.items():
        for other in used:
            if other not in rules:
                raise ValueError(f"Rule '{other}' not found; the rule {name!r} names it")
            users[other].append(name)
    ready = [name for name, used in needs.items() if not used]
    for name in ready:
        for user in users[name]:
            needs[user].discard(name)
            if not needs[user]:
                ready.append(user)
    return set(ready)


def _written(node: Node, names: Mapping[str, str], in_lexeme: bool) -> str:
    if isinstance(node, Reference):
        return names[node.name]
    if isinstance(node, Literal):
        return _literal(node.text) if in_lexeme else " ".join(map(_literal, node.text)) or '""'
    if isinstance(node, Characters):
        ranges = "".join(rf"\x{{{low:x}}}-\x{{{high:x}}}" for low, high in node.ranges)
        return f"/[{'^' if node.negated else ''}{ranges}]/"
    if isinstance(node, Sequence):
        return " ".join(_grouped(one, names, in_lexeme) for one in node.items) or '""'
    if isinstance(node, Choice):
        return " | ".join(_written(one, names, in_lexeme) for one in node.options)
    if node.most == 0:
        return '""'
    item = f"({_written(node.item, names, in_lexeme)})"
    return f"{item}{{{node.least},{'' if node.most is None else node.most}}}"


def _grouped(node: Node, names: Mapping[str, str], in_lexeme: bool) -> str:
    text = _written(node, names, in_lexeme)
    return f"({text})" if isinstance(node, Choice) else text


def _literal(text: str) -> str:
    """A text; characters that a Lark string cannot hold as they are become escapes."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
