"""What sessions are worth: reuse between turns, int8 keys and values, several sequences at once, sliding.

MODEL is a GGUF file or a known name (default: smollm2-135m-instruct).

sections (--only):
  turns     seconds to the first token of a conversation's first turn of 1,000 tokens, and of its second
  kv        f16 and q8_0: bytes, decode after 2,048 tokens, KL divergence of q8_0 from f16 over 2,000 tokens
  batch     tokens a second of 1, 4 and 8 sequences decoded together
  slide     mean loss of 1,000 tokens through a context of 128 that slides, and of fresh windows
  file      seconds to save and restore a session of 2,048 tokens, and its size

The two sides of a ratio run in turn; medians of --rounds. Prints a line each, or with --json one document.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from measures.prompts import random_ids

from phonelm import _native
from phonelm.devices import machine_record
from phonelm.engine import Model, load
from phonelm.evaluate import kl_divergence
from phonelm.files import provenance

LONG, DECODED = 2048, 64
SLIDING_CONTEXT, LOSS_TOKENS, FIRST_SCORED = 128, 1000, 200


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", nargs="?", default="smollm2-135m-instruct", metavar="MODEL")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default=",".join(SECTIONS), metavar="SECTION,...")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    names = args.only.split(",")
    if unknown := [name for name in names if name not in SECTIONS]:
        parser.error(f"no section {unknown[0]!r}; there are {', '.join(SECTIONS)}")
    machine = machine_record()
    document: dict[str, Any] = {"made": provenance(config=vars(args)), "machine": machine}
    if not args.json:
        print(f"machine: {json.dumps(machine)}")
    with load(args.model) as model:
        for name in names:
            document[name] = SECTIONS[name](model, args.rounds)
            if not args.json:
                print(f"{name}: {json.dumps(document[name])}", flush=True)
    if args.json:
        print(json.dumps(document))
    return 0


def turns(model: Model, rounds: int) -> dict[str, Any]:
    """A conversation whose first question makes about 1,000 tokens."""
    first, second = [], []
    for number in range(rounds):
        # Other words in each round, so that no round finds the one before.
        words = english_text()[number * 50 :]
        question = f"{number}: " + model.tokenizer.decode(model.tokenizer.encode(words)[:950])
        messages = [{"role": "user", "content": question}]
        one = model.chat(messages, stream=True, max_tokens=24)
        answer = "".join(one)
        messages += [
            {"role": "assistant", "content": answer},
            {"role": "user", "content": "And why is that?"},
        ]
        two = model.chat(messages, stream=True, max_tokens=1)
        list(two)
        first.append(one.prefill_s)
        second.append(two.prefill_s)
    return {
        "first_turn_tokens": one.prompt_tokens,
        "second_turn_tokens": two.prompt_tokens,
        "second_turn_reused": two.reused_tokens,
        "first_turn_s": round(statistics.median(first), 4),
        "second_turn_s": round(statistics.median(second), 4),
        "ratio": round(statistics.median(b / a for a, b in zip(first, second, strict=True)), 4),
        "limit": 0.2,
    }


def kv(model: Model, rounds: int) -> dict[str, Any]:
    """Both types in turn, and how far q8_0 moves the next token's distribution."""
    length = min(LONG, model.context_length - DECODED)
    prompt = random_ids(length, model.tokenizer.vocab_size, 0)
    sessions = {name: model.native.new_session(length + DECODED, kv_type=name) for name in ("f16", "q8_0")}
    rates: dict[str, list[float]] = {name: [] for name in sessions}
    prefill = {name: timed(lambda one=one: one.prefill(prompt)) for name, one in sessions.items()}
    for _ in range(rounds):
        for name, session in sessions.items():
            session.truncate(length)
            seconds = timed(lambda one=session: one.decode(1, _native.Sampler(), DECODED))
            rates[name].append(DECODED / seconds)
    tokens = model.tokenizer.encode(english_text())[:2000]
    divergences = []
    for begin in range(0, len(tokens), 500):
        window = tokens[begin : begin + 500]
        logits = [model.native.new_session(512, kv_type=name).prefill_logits(window) for name in sessions]
        divergences.append(kl_divergence(*logits))
    sizes = {name: session.kv_bytes for name, session in sessions.items()}
    return {
        "context": length,
        "kv_bytes": sizes,
        "bytes_ratio": round(sizes["q8_0"] / sizes["f16"], 4),
        "prefill_s": {name: round(seconds, 3) for name, seconds in prefill.items()},
        "decode_tok_s": {name: round(statistics.median(rate), 1) for name, rate in rates.items()},
        "decode_ratio": round(statistics.median(b / a for a, b in zip(*rates.values(), strict=True)), 3),
        "kl_divergence_nats": float(f"{np.mean(divergences):.2g}"),
    }


def batch(model: Model, rounds: int) -> dict[str, Any]:
    """Decode after 32 tokens each, greedy."""
    rates: dict[int, list[float]] = {1: [], 4: [], 8: []}
    prompts = [random_ids(32, model.tokenizer.vocab_size, seed) for seed in range(8)]
    for _ in range(rounds):
        for size, rate in rates.items():
            sessions = [model.native.new_session(32 + DECODED) for _ in range(size)]
            samplers = [_native.Sampler() for _ in range(size)]
            for session, prompt in zip(sessions, prompts, strict=False):
                session.prefill(prompt)
            tokens = [session.sample(sampler) for session, sampler in zip(sessions, samplers, strict=True)]
            begin = time.perf_counter()
            for _ in range(DECODED):
                tokens = _native.step_batch(sessions, tokens, samplers)
            rate.append(size * DECODED / (time.perf_counter() - begin))
    medians = {size: statistics.median(rate) for size, rate in rates.items()}
    return {
        "tok_s": {str(size): round(rate, 1) for size, rate in medians.items()},
        "ratio": {str(size): round(rate / medians[1], 2) for size, rate in medians.items()},
    }


def slide(model: Model, _: int) -> dict[str, Any]:
    """Nats per token after the context has slid, against windows that are evaluated again every 16 tokens."""
    tokens = model.tokenizer.encode(english_text())[:LOSS_TOKENS]
    options = {"with_4_sinks": 4, "without_sinks": 0}
    result: dict[str, Any] = {"context": SLIDING_CONTEXT, "tokens": LOSS_TOKENS}
    for name, num_sinks in options.items():
        session = model.native.new_session(SLIDING_CONTEXT, num_sinks=num_sinks)
        result[name] = round(losses(session.prefill_logits(tokens), tokens)[FIRST_SCORED:].mean(), 3)
    fresh: list[float] = []
    # A window that slides holds 112 tokens on average.
    for begin in range(FIRST_SCORED, LOSS_TOKENS - 1, 16):
        window = tokens[begin - 104 : begin + 17]
        session = model.native.new_session(SLIDING_CONTEXT)
        fresh.extend(losses(session.prefill_logits(window), window)[104:])
    result["fresh_windows"] = round(float(np.mean(fresh)), 3)
    return result


def file(model: Model, rounds: int) -> dict[str, Any]:
    """With the file in the page cache, as a conversation that is taken up again finds it."""
    length = min(LONG, model.context_length)
    session = model.new_session(context_length=length)
    evaluate_s = timed(lambda: session.evaluate(random_ids(length, model.tokenizer.vocab_size, 0)))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.session"
        save_s = [timed(lambda: session.save(path)) for _ in range(rounds)]
        restore_s = [timed(lambda: model.restore_session(path)) for _ in range(rounds)]
        size = path.stat().st_size
    return {
        "tokens": length,
        "file_mb": round(size / 1e6, 1),
        "evaluate_s": round(evaluate_s, 3),
        "save_s": round(statistics.median(save_s), 3),
        "restore_s": round(statistics.median(restore_s), 3),
    }


def losses(logits: np.ndarray, tokens: list[int]) -> np.ndarray:
    """Of each next token, in nats."""
    chosen = []
    for row, token in zip(logits[:-1], tokens[1:], strict=True):
        wide = row.astype(np.float64) - row.max()
        chosen.append(np.log(np.exp(wide).sum()) - wide[token])
    return np.array(chosen)


def timed(call: Callable[[], Any]) -> float:
    """Seconds of a call."""
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin


def english_text() -> str:
    """English prose that every Python brings along: the documentation of its own language."""
    from pydoc_data.topics import topics

    return "\n\n".join(topics[name] for name in sorted(topics, key=lambda name: -len(topics[name])))


SECTIONS: dict[str, Callable[[Model, int], dict[str, Any]]] = {
    "turns": turns,
    "kv": kv,
    "batch": batch,
    "slide": slide,
    "file": file,
}

if __name__ == "__main__":
    sys.exit(main())
