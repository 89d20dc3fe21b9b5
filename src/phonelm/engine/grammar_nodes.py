"""The parts of a GBNF grammar."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True)
class Literal:
    """A text."""

    text: str


@dataclass(frozen=True)
class Characters:
    """One character within (or, negated, outside of) ranges of code points, both ends included."""

    ranges: tuple[tuple[int, int], ...]
    negated: bool = False


@dataclass(frozen=True)
class Reference:
    """What another rule stands for."""

    name: str


@dataclass(frozen=True)
class Sequence:
    """One after the other; without any, the empty text."""

    items: tuple[Node, ...]


@dataclass(frozen=True)
class Choice:
    """One of some."""

    options: tuple[Node, ...]


@dataclass(frozen=True)
class Repeat:
    """An item, `least` to `most` times; None is without end."""

    item: Node
    least: int
    most: int | None


Node: TypeAlias = "Literal | Characters | Reference | Sequence | Choice | Repeat"


def parts(node: Node) -> tuple[Node, ...]:
    """Return the nodes right below a node."""
    if isinstance(node, Sequence):
        return node.items
    if isinstance(node, Choice):
        return node.options
    return (node.item,) if isinstance(node, Repeat) else ()


def levels(node: Node) -> int:
    """Return how many nodes stand within each other."""
    return 1 + max(map(levels, parts(node)), default=0)


def references(node: Node) -> set[str]:
    """Return the names of the rules that a node refers to."""
    if isinstance(node, Reference):
        return {node.name}
    return set().union(*map(references, parts(node)))
