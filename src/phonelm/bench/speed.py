"""Prefill and decode speed of a model, with its memory."""

from __future__ import annotations

import hashlib
import random
import statistics
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from phonelm.arch import flops_per_token
from phonelm.bench.checks import check_context, check_counts
from phonelm.bench.limits import (
    best_rate,
    bytes_by_type,
    decode_bytes,
    packed_bytes,
    skipped_bytes,
    with_limits,
)
from phonelm.bench.memory import rss_bytes
from phonelm.bench.result import BenchResult, Loaded, Spread, Timing

if TYPE_CHECKING:
    from phonelm.engine import Model

WARM_UP_TOKENS = 16


def measure(
    model: Model, prompt_tokens: int = 512, generate: int = 128, repeats: int = 3, load_s: float = 0.0
) -> BenchResult:
    """Time `repeats` runs of random prompts, each in a fresh session, greedy, after one short warm-up run.

    Decode counts the tokens evaluated one at a time after the prompt. All that the process holds besides the
    weights when the measurement begins counts as its base. Raises `ValueError` for counts below 1 or beyond
    the model's context.
    """
    base_bytes = max(rss_bytes() - model.native.weight_bytes, 0)
    return with_limits(time_model(model, prompt_tokens, generate, repeats, load_s, base_bytes))


def time_model(
    model: Model, prompt_tokens: int, generate: int, repeats: int, load_s: float, base_bytes: int
) -> Timing:
    """The part of `measure` that needs the model; `base_bytes` is what the process held without it."""
    runs = _runs(model, prompt_tokens, generate, repeats)
    native, sizes = model.native, packed_bytes(model.native)
    loaded = Loaded.of(native, load_s, base_bytes, runs[0].kv_bytes)
    live = [statistics.mean(shares) for shares in zip(*(run.live_fractions for run in runs), strict=True)]
    dense_bytes = decode_bytes(sizes, model.config, prompt_tokens, generate, model.kv_type)
    return Timing(
        **loaded.model_dump(),
        model=model.path.name,
        path=str(model.path),
        kv_type=model.kv_type,
        weight_types=bytes_by_type(sizes, native.tensor_types),
        prompt_tokens=prompt_tokens,
        generated_tokens=generate,
        repeats=repeats,
        prefill_tok_s=Spread.of([prompt_tokens / run.prefill_s for run in runs]),
        decode_tok_s=Spread.of([generate / run.decode_s for run in runs]),
        first_token_s=Spread.of([run.prefill_s for run in runs]),
        decode_bytes_per_token=dense_bytes - skipped_bytes(sizes, native.tensor_types, model.config, live),
        dense_bytes_per_token=dense_bytes,
        bandwidth_bytes_per_s=best_rate(native.read_bandwidth),
        live_fractions=live,
        prefill_ops_per_token=flops_per_token(model.config, prompt_tokens, "prefill"),
        output_sha256=hashlib.sha256(repr(runs[0].tokens).encode()).hexdigest(),
    )


@dataclass(frozen=True)
class Run:
    """Seconds of a prompt, up to its token, and of the answer behind it; what the session held and gave."""

    prefill_s: float
    decode_s: float
    kv_bytes: int
    live_fractions: list[float]
    tokens: list[int]


def _runs(model: Model, prompt_tokens: int, generate: int, repeats: int) -> list[Run]:
    check_counts(prompt_tokens, generate, repeats)
    check_context(model.path.name, model.context_length, prompt_tokens, generate)
    time_run(
        model, _random_prompt(model, min(prompt_tokens, WARM_UP_TOKENS), -1), min(generate, WARM_UP_TOKENS)
    )
    return [time_run(model, _random_prompt(model, prompt_tokens, seed), generate) for seed in range(repeats)]


def time_run(model: Model, prompt: list[int], generate: int) -> Run:
    """Evaluate a prompt and `generate` greedy tokens after its own, in a fresh session."""
    from phonelm import _native

    sampler = _native.Sampler()
    session = model.native.new_session(len(prompt) + generate, kv_type=model.kv_type)
    start = time.perf_counter()
    session.prefill(prompt)
    first = session.sample(sampler)
    middle = time.perf_counter()
    tokens = session.decode(first, sampler, generate)
    end = time.perf_counter()
    return Run(
        prefill_s=middle - start,
        decode_s=end - middle,
        kv_bytes=session.kv_bytes,
        live_fractions=session.live_fractions(),
        tokens=[first, *tokens],
    )


def _random_prompt(model: Model, length: int, seed: int) -> list[int]:
    draw = random.Random(seed)
    return [draw.randrange(model.tokenizer.vocab_size) for _ in range(length)]
