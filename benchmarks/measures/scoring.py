"""Many short sequences scored at once, as an evaluation does, against the prefill rate of one long prompt."""

from __future__ import annotations

import random
import statistics
import sys
from pathlib import Path
from typing import Any

from measures import models, process
from measures.prompts import TEXT, random_ids
from measures.settings import Settings

Job = dict[str, Any]
NUM_REQUESTS = 256
CONTEXT_WORDS, CONTINUATION_WORDS = (63, 120), (1, 8)
"""Most words of the text are one token."""
LIMIT = 0.8


def measure(model: str, path: Path, threads: int, settings: Settings) -> Job:
    """Tokens a second of both, their ratio, and how far a score moves when a sequence is scored alone."""
    vocab_size = models.vocab_size(path)
    drawn = [random_ids(settings.prompt, vocab_size, seed) for seed in range(settings.rounds + 1)]
    job = {"path": str(path), "threads": threads, "warm_up": drawn[0], "prompts": drawn[1:]}
    print(f"{model}, scoring {NUM_REQUESTS} sequences, {settings.rounds} rounds", file=sys.stderr)
    done = process.ours("scoring", {**job, "requests": requests(NUM_REQUESTS)})
    scored, prefill = (statistics.median(done[name]) for name in ("scored", "prefill"))
    return {
        "model": model,
        "threads": threads,
        "sequences": NUM_REQUESTS,
        "tokens": done["tokens"],
        "scored_tok_s": round(scored, 1),
        "prefill_tok_s": round(prefill, 1),
        "ratio": round(scored / prefill, 3),
        "limit": LIMIT,
        "difference_nats": done["difference"],
        "passed": scored / prefill >= LIMIT,
    }


def requests(count: int, seed: int = 0) -> list[tuple[str, str]]:
    """Contexts and continuations of shuffled words."""
    draw, words = random.Random(seed), TEXT.split()

    def text(shortest: int, longest: int) -> str:
        return " ".join(draw.choices(words, k=draw.randint(shortest, longest)))

    return [(text(*CONTEXT_WORDS), " " + text(*CONTINUATION_WORDS)) for _ in range(count)]
