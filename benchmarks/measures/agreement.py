"""Our own output while it was timed: the same every round, and as the scalar kernels'."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from measures import process
from measures.prompts import random_ids
from measures.rows import equal_lead

Job = dict[str, Any]
SCALAR_PROMPT, SCALAR_TOKENS = 4, 4
"""Few: the scalar kernels take seconds for a token of a large model."""


def check(job: Job, facts: Job, done: Sequence[Job]) -> Job:
    """Compare greedy tokens: of a text between the timed processes, of a few ids with the scalar kernels'.

    Random weights have no text. `equal` counts the tokens before the first difference.
    """
    prompt = random_ids(SCALAR_PROMPT, facts["vocab_size"], seed=-1)
    short = {**job, "prompt": prompt, "generate": SCALAR_TOKENS}
    fast, scalar = process.ours("greedy", short), process.ours("greedy", {**short, "isa": "scalar"})
    equal = equal_lead(fast["tokens"], scalar["tokens"])
    same = all(one["tokens"] == done[0]["tokens"] for one in done)
    return {
        "same_every_round": same if done[0]["tokens"] else None,
        "as_scalar": {"isa": fast["isa"], "equal": equal, "of": SCALAR_TOKENS},
        "passed": same and equal == SCALAR_TOKENS,
    }
