"""PhoneLM-1.5B's own decoder (gated ReLU) with nine neurons of ten dead: skipped at decode, and computed."""

from __future__ import annotations

import statistics
import sys
from typing import Any

from measures import models, process
from measures.prompts import SHORT_TOKENS, TEXT, TEXT_TOKENS, random_ids
from measures.rows import floors
from measures.settings import Settings

Job = dict[str, Any]
DEAD_FRACTION = 0.9
LIMIT = 1.35
LARGEST_DIFFERENCE = 1e-3
"""Of a logit, in standard deviations: another order of summation gives less."""


def measure(threads: int, settings: Settings) -> Job:
    """Decode both ways in turn, the floor of the dense bytes, and the share of live neurons by layer."""
    path = models.relu_file(DEAD_FRACTION)
    job: Job = {"path": str(path), "threads": threads, "generate": settings.generate}
    counts = {
        "prompt_tokens": SHORT_TOKENS,
        "short_tokens": SHORT_TOKENS,
        "text": TEXT,
        "text_tokens": TEXT_TOKENS,
    }
    facts = process.ours("describe", {**job, **counts})
    runs: dict[bool, list[Job]] = {True: [], False: []}
    rates: list[Job] = []
    for number in range(settings.rounds):
        rates.append(process.ours("rates", {**job, **facts}))
        prompts = [random_ids(SHORT_TOKENS, facts["vocab_size"], seed=2 * number + part) for part in (0, 1)]
        for sparse, done in runs.items():
            print(f"{path.name}, {'skipping' if sparse else 'dense'}, round {number + 1}", file=sys.stderr)
            given = {"warm_up": prompts[0], "prompt": prompts[1], "sparse_ffn": sparse}
            done.append(process.ours("plain_speed", {**job, **given}))
    same = process.ours("sparse_difference", {**job, "prompt": random_ids(8, facts["vocab_size"], seed=-1)})
    summed = summary(runs, floors(facts, rates, runs[False])["decode"], same["difference"])
    return {"model": path.stem, "threads": threads, "isa": facts["isa"], **summed}


def summary(runs: dict[bool, list[Job]], dense_floor: float, difference: float) -> Job:
    """Speeds, their ratio, the floor that skipping should beat, and the live neurons."""
    sparse, dense = (statistics.median(run["decode"] for run in runs[skip]) for skip in (True, False))
    live = [round(share, 3) for share in runs[True][-1]["live_fractions"]]
    return {
        "sparse_tok_s": round(sparse, 1),
        "dense_tok_s": round(dense, 1),
        "ratio": round(sparse / dense, 2),
        "limit": LIMIT,
        "dense_floor_tok_s": round(dense_floor, 1),
        "over_dense_floor": round(sparse / dense_floor, 2),
        "live_mean": round(statistics.fmean(live), 3),
        "live_by_layer": live,
        "difference": difference,
        "passed": sparse / dense >= LIMIT and sparse > dense_floor and difference < LARGEST_DIFFERENCE,
    }
