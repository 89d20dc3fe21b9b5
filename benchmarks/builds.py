"""Two builds of this runtime against each other: has a change cost speed?

Give the Python interpreters of two environments, each with its own phonelm, the former build first. They take
turns on the same files, each time in a process of its own; the medians of the rounds and their ratio are
printed. `--json` prints one object last: `{machine, rows: [{model, what, former, now, ratio}]}`.

    python benchmarks/builds.py ../former/.venv/bin/python .venv/bin/python --rounds 5
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from measures import models
from measures.prompts import SHORT_TOKENS, random_ids

from phonelm import _native

PROMPT_TOKENS, DECODED_TOKENS = 512, 64
WHATS = ("prefill of 512", "decode", "decode after 512")
WORKER = """
import json, sys, time
from phonelm import _native

path, prompt, short, count, threads = json.loads(sys.argv[1])
model = _native.Model.load(path, "", threads)
session = model.new_session(len(prompt) + 2 * count + 2)
sampler = _native.Sampler()

def seconds(work):
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin

def decoded(ids):
    session.truncate(0)
    session.prefill(ids)
    token = session.sample(sampler)
    token = session.decode(token, sampler, 4)[-1]
    return count / seconds(lambda: session.decode(token, sampler, count))

session.prefill(prompt)
rates = []
for _ in range(3):
    session.truncate(0)
    rates.append([len(prompt) / seconds(lambda: session.prefill(prompt)), decoded(short), decoded(prompt)])
print(json.dumps([max(column) for column in zip(*rates)]))
"""
"""Tokens per second, the best of three in a process: what a neighbour takes is no matter of the build."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("builds", nargs=2, type=Path, metavar="PYTHON")
    parser.add_argument("--models", nargs="+", default=list(models.DEFAULT))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=_native.cpu_info()["num_cores"])
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    rows = [row for model in args.models for row in compare(model, args)]
    machine = _native.cpu_info()
    for row in rows:
        print(
            f"{row['model']:28} {row['what']:18} {row['former']:9.1f} {row['now']:9.1f} tokens/s "
            f"{row['ratio']:6.3f}",
            file=sys.stderr if args.json else sys.stdout,
        )
    if args.json:
        named = {key: machine[key] for key in ("model", "num_cores", "isas")}
        print(json.dumps({"machine": {**named, "threads": args.threads}, "rows": rows}))


def compare(model: str, args: argparse.Namespace) -> list[dict[str, Any]]:
    """Median rates of both builds over the rounds, taken in turn."""
    path = models.find(model)
    vocab = models.vocab_size(path)
    job = [str(path), random_ids(PROMPT_TOKENS, vocab, 1), random_ids(SHORT_TOKENS, vocab, 2)]
    job += [DECODED_TOKENS, args.threads]
    rates: list[list[list[float]]] = [[], []]
    for round_ in range(args.rounds):
        for build in (0, 1) if round_ % 2 == 0 else (1, 0):
            rates[build].append(measure(args.builds[build], job))
    return [row_of(model, what, rates, index) for index, what in enumerate(WHATS)]


def measure(python: Path, job: Sequence[Any]) -> list[float]:
    command = [str(python), "-c", WORKER, json.dumps(job)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{python}: {done.stderr.strip().splitlines()[-1]}")
    return list(json.loads(done.stdout))


def row_of(model: str, what: str, rates: list[list[list[float]]], index: int) -> dict[str, Any]:
    former, now = (statistics.median(rates_of[index] for rates_of in build) for build in rates)
    return {"model": model, "what": what, "former": former, "now": now, "ratio": now / former}


if __name__ == "__main__":
    main()
