"""Asking a device for measurements, by lines of text."""

from __future__ import annotations

from collections.abc import Callable

Ask = Callable[[str], str]
"""Gives the answer to a request of the measuring protocol (`native/bench/protocol.h`)."""


def number(ask: Ask, request: str) -> float:
    """The number that answers a request. Raises `ValueError` with the request where it is refused."""
    answer = ask(request)
    try:
        return float(answer)
    except ValueError:
        raise ValueError(f"{request}: {answer.removeprefix('error: ')}") from None
