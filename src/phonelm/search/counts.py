"""Counts as people write them."""

from __future__ import annotations

_SUFFIXES = {"k": 1e3, "m": 1e6, "b": 1e9}


def read_count(text: str) -> int | None:
    """4.7M, 500k or 4700000 as a number; None for anything else."""
    scale = _SUFFIXES.get(text[-1:].lower(), 1.0)
    try:
        return round(float(text[:-1] if scale > 1 else text) * scale)
    except (ValueError, OverflowError):
        return None
