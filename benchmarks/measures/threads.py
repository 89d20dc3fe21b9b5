"""More threads than cores: what it costs, beside one per core and what the runtime chooses by itself."""

from __future__ import annotations

import statistics
import sys
from pathlib import Path
from typing import Any

from measures import models, process
from measures.prompts import random_ids
from measures.settings import Settings

Job = dict[str, Any]
FACTORS = (1, 2, 4)
AUTO = "chosen"


def measure(model: str, path: Path, settings: Settings) -> Job:
    """Prefill and decode with 1, 2 and 4 threads a core; `cost` is how many times slower than with one."""
    cores = settings.num_cores
    counts: dict[str, int | None] = {str(factor * cores): factor * cores for factor in FACTORS} | {AUTO: None}
    vocab_size = models.vocab_size(path)
    done: dict[str, list[Job]] = {name: [] for name in counts}
    for number in range(settings.rounds):
        prompts = [random_ids(settings.prompt, vocab_size, seed=2 * number + part) for part in (0, 1)]
        job = {"path": str(path), "generate": settings.generate, "warm_up": prompts[0], "prompt": prompts[1]}
        for name, threads in counts.items():
            print(f"{model}, {name} threads, round {number + 1}", file=sys.stderr)
            done[name].append(process.ours("plain_speed", {**job, "threads": threads}))
    return {
        "model": model,
        "cores": cores,
        "rows": [_row(name, runs, done[str(cores)]) for name, runs in done.items()],
    }


def _row(name: str, runs: list[Job], one_a_core: list[Job]) -> Job:
    speeds = {phase: _median(phase, runs) for phase in ("prefill", "decode")}
    return {
        "threads": name,
        "prefill_threads": runs[0]["prefill_threads"],
        "decode_threads": runs[0]["decode_threads"],
        **{f"{phase}_tok_s": round(speed, 1) for phase, speed in speeds.items()},
        **{f"{phase}_cost": round(_median(phase, one_a_core) / speed, 2) for phase, speed in speeds.items()},
    }


def _median(phase: str, runs: list[Job]) -> float:
    return float(statistics.median(run[phase] for run in runs))
