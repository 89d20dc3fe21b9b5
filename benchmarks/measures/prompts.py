"""What the runtimes are given to read."""

from __future__ import annotations

import random

TEXT = (
    "The history of the lighthouse begins long before electricity. For centuries, keepers climbed the stairs "
    "each evening to light the lamp, trim the wick and watch the sea until morning. "
    "The most important thing was"
)
TEXT_TOKENS = 64
"""How many greedy tokens of the text are compared."""
SHORT_TOKENS = 16
"""What decode from a short context starts from."""


def random_ids(num_tokens: int, vocab_size: int, seed: int) -> list[int]:
    """Token ids that no other seed's begin with."""
    # Control tokens stand at the front of a vocabulary.
    lowest = min(1000, vocab_size // 2)
    draw = random.Random(seed)
    return [draw.randrange(lowest, vocab_size) for _ in range(num_tokens)]
