"""Our side, one task a process: `python -m measures.ours TASK`, a job as JSON in, an answer as JSON out.

Jobs are those of `peers/peer.py`; `isa` and `sparse_ffn` may be given too, and `threads` may be null: then
the runtime chooses.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

import phonelm
from phonelm import _native
from phonelm.bench import peak_rss_bytes
from phonelm.bench.limits import best_rate
from phonelm.bench.memory import rss_bytes
from phonelm.bench.speed import Run, time_run

Job = dict[str, Any]
WARM_UP_GENERATE = 8
SCORED_ALONE = 8


@dataclass(frozen=True)
class Speeds:
    """Tokens a second of prompt and answer, and the run they are of."""

    prefill: float
    decode: float
    run: Run


def describe(job: Job) -> Job:
    """What a model is, and what a token of it costs."""
    from phonelm.arch import flops_per_token
    from phonelm.bench.checks import check_file
    from phonelm.bench.limits import decode_bytes, packed_bytes

    prompt, generate = job["prompt_tokens"], job["generate"]
    check_file(job["path"], prompt, generate)
    with _load(job) as model:
        types = model.native.tensor_types
        sizes, layers = packed_bytes(model.native), [types[name] for name in types if name.startswith("blk.")]
        text = model.tokenizer.encode_prompt(job["text"])
        return {
            "vocab_size": model.tokenizer.vocab_size,
            "text_prompt": text if len(text) + job["text_tokens"] <= model.context_length else [],
            "type": statistics.mode([kind for kind in layers if kind != "F32"] or layers),
            "isa": model.native.isa,
            "decode_bytes": decode_bytes(sizes, model.config, job["short_tokens"], generate),
            "decode_after_prompt_bytes": decode_bytes(sizes, model.config, prompt, generate),
            "prefill_ops": flops_per_token(model.config, prompt, "prefill"),
        }


def rates(job: Job) -> Job:
    """What the machine can do: int8 operations per second."""
    threads = min(job["threads"], _native.cpu_info()["num_cores"])
    return {
        "int8_ops_per_s": _best(lambda: _native.peak_int8_ops(threads, job["isa"])),
    }


def speed(job: Job) -> Job:
    """Tokens a second of a prompt, after it, and from a short context; the greedy tokens of a text."""
    with _load(job) as model:
        _run(model, job["warm_up"], WARM_UP_GENERATE)
        long = _run(model, job["prompt"], job["generate"])
        peak = peak_rss_bytes()
        short = _run(model, job["short_prompt"], job["generate"])
        text = job["text_prompt"]
        tokens = _run(model, text, job["text_tokens"] - 1).run.tokens if text else []
        bytes_per_s = _best(model.native.read_bandwidth)
    speeds = {"prefill": long.prefill, "decode": short.decode, "decode_after_prompt": long.decode}
    return {"speeds": speeds, "peak_bytes": peak, "tokens": tokens, "bytes_per_s": bytes_per_s}


def greedy(job: Job) -> Job:
    """The greedy tokens of a prompt alone."""
    with _load(job) as model:
        tokens = _run(model, job["prompt"], job["generate"] - 1).run.tokens
        return {"isa": model.native.isa, "tokens": tokens}


def plain_speed(job: Job) -> Job:
    """Tokens a second of a prompt and after it, with the threads that ran and the live share of neurons."""
    with _load(job) as model:
        _run(model, job["warm_up"], WARM_UP_GENERATE)
        done = _run(model, job["prompt"], job["generate"])
        return {
            "prefill": done.prefill,
            "decode": done.decode,
            "prefill_threads": model.native.prefill_threads,
            "decode_threads": model.native.decode_threads,
            "live_fractions": done.run.live_fractions,
            "bytes_per_s": _best(model.native.read_bandwidth),
        }


def first_token(job: Job) -> Job:
    """Seconds from `load` to the first token of a short prompt; the peak after a long one."""
    base = rss_bytes()
    start = time.perf_counter()
    with _load(job) as model:
        loaded = time.perf_counter()
        session = model.native.new_session(len(job["short_prompt"]) + 1)
        session.prefill(job["short_prompt"])
        session.sample(_native.Sampler())
        end = time.perf_counter()
        load_peak = peak_rss_bytes()
        long = _run(model, job["prompt"], job["generate"])
        return {
            "load_s": loaded - start,
            "first_token_s": end - start,
            "file_bytes": model.native.file_bytes,
            "base_bytes": base,
            "peak_to_first_token_bytes": load_peak,
            "peak_bytes": peak_rss_bytes(),
            "kv_bytes": long.run.kv_bytes,
        }


def scoring(job: Job) -> Job:
    """Tokens a second of many scored sequences at once, and of one prompt, in turn."""
    requests = [(context, continuation) for context, continuation in job["requests"]]
    scored, prefill = [], []
    with _load(job) as model:
        # The last token of a sequence is compared with, not evaluated.
        num_tokens = sum(len(model.tokenizer.encode_prompt("".join(request))) - 1 for request in requests)
        _run(model, job["warm_up"], WARM_UP_GENERATE)
        for prompt in job["prompts"]:
            start = time.perf_counter()
            together = model.loglikelihoods(requests)
            scored.append(num_tokens / (time.perf_counter() - start))
            prefill.append(_run(model, prompt, 1).prefill)
        alone = [model.loglikelihood(*request)[0] for request in requests[:SCORED_ALONE]]
    differences = [abs(one - other[0]) for one, other in zip(alone, together, strict=False)]
    return {"tokens": num_tokens, "scored": scored, "prefill": prefill, "difference": max(differences)}


def sparse_difference(job: Job) -> Job:
    """Largest difference of logits with dead neurons skipped and not, over their spread."""
    skipping, all_neurons = (_forced_logits({**job, "sparse_ffn": sparse}) for sparse in (True, False))
    return {"difference": float(abs(skipping - all_neurons).max() / all_neurons.std())}


def _forced_logits(job: Job) -> NDArray[np.float32]:
    """Logits after each token of the prompt but the first, evaluated one at a time."""
    with _load(job) as model:
        session, sampler, rows = model.native.new_session(len(job["prompt"])), _native.Sampler(), []
        session.prefill(job["prompt"][:1])
        for token in job["prompt"][1:]:
            session.step([token], sampler)
            rows.append(session.logits())
        return np.stack(rows)


def _load(job: Job) -> phonelm.Model:
    options = {key: job[key] for key in ("isa", "sparse_ffn") if key in job}
    return phonelm.load(job["path"], num_threads=job["threads"], **options)


def _best(rate: Callable[[], float]) -> float:
    return best_rate(rate, sampling_s=0.5)


def _run(model: phonelm.Model, prompt: list[int], generate: int) -> Speeds:
    run = time_run(model, prompt, generate)
    return Speeds(len(prompt) / run.prefill_s, generate / run.decode_s, run)


TASKS: dict[str, Callable[[Job], Job]] = {
    task.__name__: task
    for task in (describe, rates, speed, greedy, plain_speed, first_token, scoring, sparse_difference)
}

if __name__ == "__main__":
    print(json.dumps(TASKS[sys.argv[1]](json.load(sys.stdin))))
