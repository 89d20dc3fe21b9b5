"""Which models the suite measures, and why not the others."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from phonelm.arch import DecoderConfig, count_parameters
from phonelm.arch.registry import RegistryRow, registry
from phonelm.bench.suite.reasons import reason_of
from phonelm.bench.suite.result import shape_of


@dataclass(frozen=True)
class Entry:
    """A shape of the registry, with the names of all models that have it."""

    names: tuple[str, ...]
    shape: DecoderConfig
    parameters: int


@dataclass
class Selection:
    """What was asked for: shapes to measure, the smallest first, and models left out with the reason."""

    entries: list[Entry] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)


def select(only: Sequence[str] = (), max_params: int | None = None) -> Selection:
    """The registry's models of these names (all without any; `*` stands for any letters).

    Raises `ValueError` for a name that no model has.
    """
    selection = Selection()
    by_shape: dict[DecoderConfig, list[str]] = {}
    for row in _rows(only):
        config, reason = row.config, lacking(row)
        if config is None or reason:
            selection.left_out[row.name] = reason
        elif max_params is not None and count_parameters(config).total > max_params:
            selection.left_out[row.name] = f"more than {max_params / 1e6:,.0f}M parameters (--max-params)"
        else:
            by_shape.setdefault(shape_of(config), []).append(row.name)
    entries = [Entry(tuple(names), shape, count_parameters(shape).total) for shape, names in by_shape.items()]
    selection.entries = sorted(entries, key=lambda entry: entry.parameters)
    return selection


def lacking(row: RegistryRow) -> str:
    """What keeps the runtime from building a model; empty if nothing does."""
    from phonelm.formats.gguf_config import lacking_features

    if row.config is None:
        return row.unsupported_reason or "no decoder configuration"
    return reason_of(lacking_features(row.config), row.caveats)


def _rows(only: Sequence[str]) -> list[RegistryRow]:
    rows = registry()
    if not only:
        return rows
    for pattern in only:
        if not any(_matches(row, pattern) for row in rows):
            near = difflib.get_close_matches(pattern, [row.name for row in rows], n=3, cutoff=0.4)
            advice = f"; try {', '.join(near)}" if near else ""
            raise ValueError(f"no model of the registry is called {pattern!r}{advice}")
    return [row for row in rows if any(_matches(row, pattern) for pattern in only)]


def _matches(row: RegistryRow, pattern: str) -> bool:
    return fnmatchcase(row.name.lower(), pattern.lower())
