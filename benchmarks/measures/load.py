"""From `phonelm.load` to the first token of a file that is in the page cache, and the most memory it took."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from measures import models, process
from measures.prompts import SHORT_TOKENS, random_ids
from measures.settings import Settings

Job = dict[str, Any]
LIMIT_SECONDS = 1.5
FILE_FACTOR, EXTRA_BYTES = 1.15, 100_000_000


def measure(model: str, path: Path, threads: int, settings: Settings) -> Job:
    """The fastest load of the rounds, the largest peak, and both beside what they should stay below.

    The peak is that of the whole process, Python included, after a prompt and an answer; the limit is 1.15 of
    the file, keys and values, and 100 MB.
    """
    vocab_size = models.vocab_size(path)
    job = {"path": str(path), "threads": threads, "generate": 8}
    runs = []
    for number in range(settings.rounds):
        print(f"{model}, loading, round {number + 1}", file=sys.stderr)
        _read(path)
        prompts = {
            "short_prompt": random_ids(SHORT_TOKENS, vocab_size, seed=2 * number),
            "prompt": random_ids(settings.prompt, vocab_size, seed=2 * number + 1),
        }
        runs.append(process.ours("first_token", {**job, **prompts}))
    return {"model": model, "threads": threads, **summary(runs)}


def summary(runs: list[Job]) -> Job:
    """Seconds and bytes of the runs, with limits and whether they are kept."""
    fastest = min(runs, key=lambda run: run["first_token_s"])
    highest = max(runs, key=lambda run: run["peak_bytes"])
    limit = FILE_FACTOR * highest["file_bytes"] + highest["kv_bytes"] + EXTRA_BYTES
    return {
        "first_token_s": round(fastest["first_token_s"], 3),
        "load_s": round(fastest["load_s"], 3),
        "first_token_runs_s": [round(run["first_token_s"], 3) for run in runs],
        "limit_s": LIMIT_SECONDS,
        **{f"{name}_mb": round(highest[f"{name}_bytes"] / 1e6, 1) for name in ("file", "kv", "base", "peak")},
        "peak_to_first_token_mb": round(highest["peak_to_first_token_bytes"] / 1e6, 1),
        "limit_mb": round(limit / 1e6, 1),
        "passed": fastest["first_token_s"] <= LIMIT_SECONDS and highest["peak_bytes"] <= limit,
    }


def _read(path: Path) -> None:
    with path.open("rb") as file:
        while file.read(1 << 24):
            pass
