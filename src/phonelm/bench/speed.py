"""Prefill and decode speed of a model, with its memory."""

from __future__ import annotations

import hashlib
import multiprocessing
import random
import statistics
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from phonelm.bench.memory import peak_rss_bytes

if TYPE_CHECKING:
    from phonelm.engine import Model

WARM_UP_TOKENS = 16


class Spread(BaseModel):
    """Median of the repeats, with the lowest and the highest."""

    model_config = ConfigDict(frozen=True)

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Return the spread of at least one value."""
        return cls(median=statistics.median(values), low=min(values), high=max(values))


class BenchResult(BaseModel):
    """What one model did: speeds in tokens per second, times in seconds, sizes in bytes."""

    model_config = ConfigDict(frozen=True)

    model: str
    isa: str
    threads: int
    types: dict[str, int]
    """Number of tensors by type."""
    prompt_tokens: int
    generated_tokens: int
    repeats: int
    prefill_tok_s: Spread
    decode_tok_s: Spread
    first_token_s: Spread
    load_s: float
    file_bytes: int
    weight_bytes: int
    kv_bytes: int
    peak_rss_bytes: int
    output_sha256: str
    """Hash of the greedy tokens of the first repeat: equal output, equal hash."""


def measure(
    model: Model, prompt_tokens: int = 512, generate: int = 128, repeats: int = 3, load_s: float = 0.0
) -> BenchResult:
    """Time `repeats` runs of random prompts, each in a fresh session, greedy, after one short warm-up run.

    Decode counts the tokens evaluated one at a time after the prompt. Raises `ValueError` for counts below 1
    or beyond the model's context.
    """
    _check(model, prompt_tokens, generate, repeats)
    _run(model, _random_prompt(model, min(prompt_tokens, WARM_UP_TOKENS), -1), min(generate, WARM_UP_TOKENS))
    runs = [_run(model, _random_prompt(model, prompt_tokens, seed), generate) for seed in range(repeats)]
    native = model.native
    types = list(native.tensor_types.values())
    return BenchResult(
        model=model.path.name,
        isa=native.isa,
        threads=native.num_threads,
        types={name: types.count(name) for name in sorted(set(types))},
        prompt_tokens=prompt_tokens,
        generated_tokens=generate,
        repeats=repeats,
        prefill_tok_s=Spread.of([prompt_tokens / run.prefill_s for run in runs]),
        decode_tok_s=Spread.of([generate / run.decode_s for run in runs]),
        first_token_s=Spread.of([run.prefill_s for run in runs]),
        load_s=load_s,
        file_bytes=native.file_bytes,
        weight_bytes=native.weight_bytes,
        kv_bytes=runs[0].kv_bytes,
        peak_rss_bytes=peak_rss_bytes(),
        output_sha256=hashlib.sha256(repr(runs[0].tokens).encode()).hexdigest(),
    )


def measure_file(
    path: Path | str,
    prompt_tokens: int = 512,
    generate: int = 128,
    repeats: int = 3,
    num_threads: int | None = None,
    isa: str | None = None,
) -> BenchResult:
    """Load and measure a model in a process of its own, so that the peak memory is its own.

    Raises `ValueError` and `OSError` as `load` and `measure` do, `MemoryError` when the process was killed.
    """
    with ProcessPoolExecutor(max_workers=1, mp_context=multiprocessing.get_context("spawn")) as pool:
        try:
            return pool.submit(
                _load_and_measure, path, prompt_tokens, generate, repeats, num_threads, isa
            ).result()
        except BrokenProcessPool as error:
            raise MemoryError(f"the process that measured {path} was killed") from error


def _load_and_measure(
    path: Path | str,
    prompt_tokens: int,
    generate: int,
    repeats: int,
    num_threads: int | None,
    isa: str | None,
) -> BenchResult:
    from phonelm.engine import load

    start = time.perf_counter()
    with load(path, num_threads=num_threads, isa=isa) as model:
        load_s = time.perf_counter() - start
        return measure(model, prompt_tokens, generate, repeats, load_s)


class _Run(BaseModel):
    prefill_s: float
    decode_s: float
    kv_bytes: int
    tokens: list[int]


def _run(model: Model, prompt: list[int], generate: int) -> _Run:
    from phonelm import _native

    sampler = _native.Sampler()
    session = model.native.new_session(len(prompt) + generate)
    start = time.perf_counter()
    session.prefill(prompt)
    first = session.sample(sampler)
    middle = time.perf_counter()
    tokens = session.decode(first, sampler, generate)
    end = time.perf_counter()
    return _Run(
        prefill_s=middle - start, decode_s=end - middle, kv_bytes=session.kv_bytes, tokens=[first, *tokens]
    )


def _random_prompt(model: Model, length: int, seed: int) -> list[int]:
    draw = random.Random(seed)
    return [draw.randrange(model.tokenizer.vocab_size) for _ in range(length)]


def _check(model: Model, prompt_tokens: int, generate: int, repeats: int) -> None:
    if min(prompt_tokens, generate, repeats) < 1:
        raise ValueError("prompt, generate and repeats must each be at least 1")
    if prompt_tokens + generate > model.context_length:
        raise ValueError(
            f"{prompt_tokens} + {generate} tokens exceed the context of {model.path.name}, "
            f"{model.context_length}; lower --prompt or --generate"
        )
