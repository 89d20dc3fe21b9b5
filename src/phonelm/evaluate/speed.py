"""Speed of models in turn, so that whatever else the machine does falls on all of them."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from phonelm.bench.speed import time_run
from phonelm.engine import Model
from phonelm.progress import Progress

_PROMPT_TOKENS = 256
_ANSWER_TOKENS = 48
_ROUNDS = 5


@dataclass(frozen=True)
class Speed:
    """Median tokens per second of a prompt and of an answer behind it."""

    prefill_tok_s: float
    decode_tok_s: float
    prompt_tokens: int
    answer_tokens: int
    rounds: int


def measure_speeds(
    models: Sequence[Model], tokens: Sequence[int], progress: Progress | None = None
) -> list[Speed]:
    """Time each model once a round, one after the other, on the beginning of `tokens`.

    A short run of each comes first. Contexts shorter than prompt and answer shorten both.
    """
    room = min(model.context_length for model in models)
    answer = max(min(_ANSWER_TOKENS, room // 3), 1)
    prompt = list(tokens[: max(min(_PROMPT_TOKENS, room - answer), 1)])
    seconds: list[list[tuple[float, float]]] = [[] for _ in models]
    with (progress or Progress()).bar("measuring speed", _ROUNDS * len(models)) as advance:
        for model in models:
            time_run(model, prompt[:16], min(answer, 8))
        for _ in range(_ROUNDS):
            for model, taken in zip(models, seconds, strict=True):
                run = time_run(model, prompt, answer)
                taken.append((run.prefill_s, run.decode_s))
                advance(1)
    return [
        Speed(
            prefill_tok_s=len(prompt) / statistics.median(prefill for prefill, _ in taken),
            decode_tok_s=answer / statistics.median(decode for _, decode in taken),
            prompt_tokens=len(prompt),
            answer_tokens=answer,
            rounds=_ROUNDS,
        )
        for taken in seconds
    ]
