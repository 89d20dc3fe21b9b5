"""From runs to rows: medians, ratios, shares of the floor, the best peer. Nothing is measured here."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from peers import PEERS

Job = dict[str, Any]
PHASES = ("prefill", "decode", "decode_after_prompt")


@dataclass(frozen=True)
class Runs:
    """The answers of our processes, and of each peer's, in the order of the rounds."""

    ours: Sequence[Job]
    peers: Mapping[str, Sequence[Job]]


def make_rows(model: str, threads: int, facts: Job, rates: Sequence[Job], runs: Runs) -> list[Job]:
    """One row per phase and peer; one per phase, without peer fields, where no peer took part."""
    start = {"model": model, "type": facts["type"], "threads": threads, "isa": facts["isa"]}
    rows = []
    for phase in PHASES:
        ours = {**start, **_our_part(phase, facts, rates, runs.ours)}
        with_peers = [{**ours, **_peer_part(phase, runs.ours, name, runs.peers[name])} for name in runs.peers]
        best = max((row["peer_tok_s"] for row in with_peers), default=None)
        rows += [{**row, "best_peer": row["peer_tok_s"] == best} for row in with_peers] or [ours]
    return rows


def floors(facts: Job, rates: Sequence[Job], done: Sequence[Job]) -> dict[str, float]:
    """Tokens a second that the machine allows, by phase.

    Decode reads a token's bytes (packed weights, but of an untied embedding one row, and the keys and values
    before it), at the rate at which each run's process read the same weights where they lay: one allocation
    may lie in memory twice as fast as another's. Prefill does its multiply-adds as int8, two operations each,
    at the best rate measured.
    """
    bytes_per_s = statistics.median(run["bytes_per_s"] for run in done)
    int8_ops_per_s = max(rate["int8_ops_per_s"] for rate in rates)
    return {
        "prefill": int8_ops_per_s / facts["prefill_ops"],
        "decode": bytes_per_s / facts["decode_bytes"],
        "decode_after_prompt": bytes_per_s / facts["decode_after_prompt_bytes"],
    }


def equal_lead(left: Sequence[int], right: Sequence[int]) -> int:
    """Number of equal tokens before the first difference."""
    for index, (one, other) in enumerate(zip(left, right, strict=False)):
        if one != other:
            return index
    return min(len(left), len(right))


def _our_part(phase: str, facts: Job, rates: Sequence[Job], done: Sequence[Job]) -> Job:
    speed, floor = _speed(phase, done), floors(facts, rates, done)[phase]
    return {
        "phase": f"decode@{facts['prompt_tokens']}" if phase == "decode_after_prompt" else phase,
        "ours_tok_s": round(speed, 1),
        "peer": None,
        "peer_tok_s": None,
        "ratio": None,
        "floor_tok_s": round(floor, 1),
        "share_of_floor": round(speed / floor, 3),
        "ours_runs": _runs(phase, done),
        "ours_peak_mb": _peak_mb(done),
    }


def _peer_part(phase: str, ours: Sequence[Job], name: str, done: Sequence[Job]) -> Job:
    speed, tokens = _speed(phase, done), done[0]["tokens"]
    return {
        "peer": PEERS[name].title,
        "peer_tok_s": round(speed, 1),
        "ratio": round(_speed(phase, ours) / speed, 2),
        "peer_runs": _runs(phase, done),
        "peer_peak_mb": _peak_mb(done),
        "peak_ratio": round(_peak_mb(ours) / _peak_mb(done), 2),
        "equal_greedy_tokens": equal_lead(ours[0]["tokens"], tokens) if tokens else None,
        "greedy_tokens": len(tokens) or None,
    }


def _speed(phase: str, done: Sequence[Job]) -> float:
    return float(statistics.median(one["speeds"][phase] for one in done))


def _runs(phase: str, done: Sequence[Job]) -> list[float]:
    return [round(one["speeds"][phase], 1) for one in done]


def _peak_mb(done: Sequence[Job]) -> float:
    return round(float(max(one["peak_bytes"] for one in done)) / 1e6, 1)
