"""DRY in plain slices: its author's description (text-generation-webui PR 5677), llama.cpp's breakers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np


def dry_penalties(
    tokens: Sequence[int], vocab: int, options: dict[str, Any], breakers: Sequence[Sequence[int]] = ()
) -> np.ndarray:
    """What is subtracted from each logit, float64 [vocab]."""
    last_n, allowed = options["dry_penalty_last_n"], options["dry_allowed_length"]
    seen = list(tokens) if last_n < 0 else list(tokens)[max(len(tokens) - last_n, 0) :]
    most = _since_the_last_breaker(seen, breakers)
    longest: dict[int, int] = {}
    for end in range(1, len(seen)):
        lengths = [n for n in range(1, min(end, most) + 1) if seen[end - n : end] == seen[len(seen) - n :]]
        if lengths:
            longest[seen[end]] = max(longest.get(seen[end], 0), max(lengths))
    penalties = np.zeros(vocab)
    for token, length in longest.items():
        if length >= allowed and token < vocab and [token] not in [list(one) for one in breakers]:
            penalties[token] = options["dry_multiplier"] * options["dry_base"] ** (length - allowed)
    return penalties


def _since_the_last_breaker(seen: list[int], breakers: Sequence[Sequence[int]]) -> int:
    for start in reversed(range(len(seen))):
        here = [len(one) for one in breakers if seen[start : start + len(one)] == list(one)]
        if here:
            return len(seen) - start - max(here)
    return len(seen)
