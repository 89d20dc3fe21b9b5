"""Prefill and decode of this runtime and its peers in turn, on one file, beside what the machine allows."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from peers import PEERS
from peers.environment import ready
from peers.peer import SetupError

from measures import agreement, models, process
from measures.prompts import SHORT_TOKENS, TEXT, TEXT_TOKENS, random_ids
from measures.rows import Runs, make_rows
from measures.settings import Settings

Job = dict[str, Any]


@dataclass
class Outcome:
    """What is found, by and by."""

    rows: list[Job] = field(default_factory=list)
    left_out: list[Job] = field(default_factory=list)
    checks: dict[str, Job] = field(default_factory=dict)

    def leave_out(self, peer: str, model: str | None, reason: str) -> None:
        """Note, and say, that a peer does not take part (model None: in nothing)."""
        print(f"{peer} is left out{f' for {model}' if model else ''}: {reason}", file=sys.stderr)
        self.left_out.append({"peer": peer, "model": model, "reason": reason})

    def add_check(self, model: str, threads: int, check: Job) -> None:
        """Note what came of comparing our own output, and say so when it is not what it should be."""
        self.checks.setdefault(model, {})[f"{threads} threads"] = check
        if not check["passed"]:
            print(f"{model}: the output differs between rounds or from the scalar kernels'", file=sys.stderr)


def measure(
    paths: Mapping[str, Path],
    thread_counts: Sequence[int],
    settings: Settings,
    peer_names: Sequence[str],
    outcome: Outcome,
) -> None:
    """Set the peers up, then measure each model; raises `WorkerError` when our own side fails."""
    places = _set_up(peer_names, outcome)
    for model, path in paths.items():
        for threads in thread_counts:
            _compare(model, path, threads, settings, places, outcome)


def _set_up(names: Sequence[str], outcome: Outcome) -> dict[str, Path]:
    """The folders of the peers that are ready; the others are left out."""
    from phonelm.files import cache_folder

    places = {}
    for name in names:
        try:
            places[name] = ready(PEERS[name], cache_folder() / "peers")
        except SetupError as error:
            outcome.leave_out(name, None, str(error))
    return places


def _compare(
    model: str, path: Path, threads: int, settings: Settings, places: dict[str, Path], outcome: Outcome
) -> None:
    job: Job = {"path": str(path), "threads": threads, "generate": settings.generate}
    facts = _facts(model, job, settings)
    runs: dict[str, list[Job]] = {"ours": [], **{name: [] for name in places}}
    rates: list[Job] = []
    for number in range(settings.rounds):
        rates.append(process.ours("rates", {**job, **facts}))
        this_round = {**job, **_prompts(facts, number)}
        for name in list(runs):
            print(f"{model}, {threads} threads, round {number + 1}: {name}", file=sys.stderr)
            if name == "ours":
                runs[name].append(process.ours("speed", this_round))
                continue
            try:
                runs[name].append(process.peer(PEERS[name], places[name], this_round))
            except process.WorkerError as error:
                del runs[name]
                outcome.leave_out(name, model, str(error))
    done = Runs(runs.pop("ours"), runs)
    outcome.rows += make_rows(model, threads, facts, rates, done)
    outcome.add_check(model, threads, agreement.check(job, facts, done.ours))


def _facts(model: str, job: Job, settings: Settings) -> Job:
    counts = {"prompt_tokens": settings.prompt, "short_tokens": SHORT_TOKENS}
    facts = {
        **counts,
        **process.ours("describe", {**job, **counts, "text": TEXT, "text_tokens": TEXT_TOKENS}),
    }
    return {**facts, "text_prompt": []} if models.is_random(model) else facts


def _prompts(facts: Job, number: int) -> Job:
    lengths = {"warm_up": "prompt_tokens", "prompt": "prompt_tokens", "short_prompt": "short_tokens"}
    drawn = {
        name: random_ids(facts[length], facts["vocab_size"], seed=10 * number + index)
        for index, (name, length) in enumerate(lengths.items())
    }
    return {**drawn, "text_prompt": facts["text_prompt"], "text_tokens": TEXT_TOKENS}
