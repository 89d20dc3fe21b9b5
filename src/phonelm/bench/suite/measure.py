"""Measures one model in the process it is called in: prefill, decode, their parts, and the memory."""

from __future__ import annotations

import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from phonelm.bench.memory import rss_bytes
from phonelm.bench.result import Loaded, Spread
from phonelm.bench.suite.result import PARTS, Measured, PromptTiming

if TYPE_CHECKING:
    from phonelm import _native
    from phonelm.engine import Model

PROMPTS = (50, 512)
DECODED = 16
CONTEXT_LENGTH = max(PROMPTS) + DECODED
ROUNDS, ENOUGH_S = 3, 20.0
"""Rounds of a model; two where they take longer than this."""
_WARM_UP = 16


@dataclass(frozen=True)
class _Run:
    """Seconds of a piece of work and of its parts, which add up to it but for the choice of tokens."""

    seconds: float
    parts: dict[str, float]


def measure_model(path: Path, load_options: Mapping[str, Any]) -> Measured:
    """Load a model and measure it. Raises what `load` does."""
    from phonelm import _native, formats  # noqa: F401  (part of the base, not of the model)
    from phonelm.engine import load

    base_bytes = rss_bytes()
    start = time.perf_counter()
    with load(path, context_length=CONTEXT_LENGTH, **load_options) as model:
        load_s = time.perf_counter() - start
        prompts, kv_bytes = _time_prompts(model)
        loaded = Loaded.of(model.native, load_s, base_bytes, kv_bytes)
        return Measured(**loaded.model_dump(), prompts=prompts)


def _time_prompts(model: Model) -> tuple[list[PromptTiming], int]:
    """Timings by prompt, and the bytes of the longest one's keys and values.

    Rounds of all prompts in turn: what disturbs the machine for a while disturbs them alike.
    """
    _run(model, _WARM_UP, -1)
    runs: list[list[tuple[_Run, _Run]]] = [[] for _ in PROMPTS]
    start, kv_bytes = time.perf_counter(), 0
    for seed in range(ROUNDS):
        if seed >= 2 and time.perf_counter() - start > ENOUGH_S:
            break
        for length, of_length in zip(PROMPTS, runs, strict=True):
            prefill, decode, num_bytes = _run(model, length, seed)
            of_length.append((prefill, decode))
            kv_bytes = max(kv_bytes, num_bytes)
    return [_timing(length, of_length) for length, of_length in zip(PROMPTS, runs, strict=True)], kv_bytes


def _run(model: Model, length: int, seed: int) -> tuple[_Run, _Run, int]:
    """A prompt and `DECODED` tokens after it, in a separate session, and the session's bytes."""
    from phonelm import _native

    draw, size = random.Random(seed), model.tokenizer.vocab_size
    prompt = [draw.randrange(size) for _ in range(length)]
    session, sampler = model.native.new_session(length + DECODED), _native.Sampler()
    session.time_parts()
    start = time.perf_counter()
    session.prefill(prompt)
    token = session.sample(sampler)
    middle, prefill_parts = time.perf_counter(), _parts(session)
    begin = time.perf_counter()
    session.decode(token, sampler, DECODED)
    end, parts = time.perf_counter(), _parts(session)
    decode_parts = {name: (parts[name] - prefill_parts[name]) / DECODED for name in PARTS}
    return _Run(middle - start, prefill_parts), _Run((end - begin) / DECODED, decode_parts), session.kv_bytes


def _parts(session: _native.Session) -> dict[str, float]:
    seconds = session.part_seconds()
    seconds["attention"] += seconds.pop("projections")
    return {name: seconds[name] for name in PARTS}


def _timing(length: int, runs: Sequence[tuple[_Run, _Run]]) -> PromptTiming:
    prefill, decode = _middle([run[0] for run in runs]), _middle([run[1] for run in runs])
    return PromptTiming(
        prompt_tokens=length,
        decoded_tokens=DECODED,
        prefill_s=_spread(prefill, [run[0] for run in runs]),
        decode_s=_spread(decode, [run[1] for run in runs]),
        prefill_parts_s=prefill.parts,
        decode_parts_s=decode.parts,
    )


def _middle(runs: Sequence[_Run]) -> _Run:
    """The median run, the faster of two: its parts belong to its time."""
    return sorted(runs, key=lambda run: run.seconds)[(len(runs) - 1) // 2]


def _spread(middle: _Run, runs: Sequence[_Run]) -> Spread:
    seconds = [run.seconds for run in runs]
    return Spread(median=middle.seconds, low=min(seconds), high=max(seconds))
