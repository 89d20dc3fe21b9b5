"""Two builds of this runtime against each other: has a change cost speed?

Give the Python interpreters of two environments, each with its own phonelm, the former build first. A process
of each holds the same file, and they take turns of a fraction of a second, so that what else the machine does
falls on both: printed are the medians of the rounds, and the median of the rounds' ratios with the range of
its middle half. `--json` prints one object last: `{machine, rows: [{model, what, former, now, ratio,
ratio_quartiles}]}`.

    python benchmarks/builds.py ../former/.venv/bin/python .venv/bin/python --rounds 30
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

PROMPT_TOKENS, DECODED_TOKENS = 512, 32
WHATS = ("prefill of 512", "decode", "decode after 512")
WORKER = """
import json, sys, time
from phonelm import _native

path, prompt, short, count, threads = json.loads(sys.stdin.readline())
session = _native.Model.load(path, "", threads).new_session(len(prompt) + count + 8)
sampler = _native.Sampler()

def rate(num_tokens, work):
    begin = time.perf_counter()
    work()
    return num_tokens / (time.perf_counter() - begin)

def prefill():
    session.truncate(0)
    return rate(len(prompt), lambda: session.prefill(prompt))

def decode(ids):
    session.truncate(0)
    session.prefill(ids)
    token = session.decode(session.sample(sampler), sampler, 4)[-1]
    return rate(count, lambda: session.decode(token, sampler, count))

measures = [prefill, lambda: decode(short), lambda: decode(prompt)]
prefill()
print("ready", flush=True)
for line in sys.stdin:
    print(measures[int(line)](), flush=True)
"""


class Build:
    """A process of one build that holds a model; asked for one rate at a time."""

    def __init__(self, python: Path, job: Sequence[Any]) -> None:
        command = [str(python), "-c", WORKER]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )
        if self._answer(json.dumps(job)) != "ready":
            sys.exit(f"{python} did not load the model")

    def rate(self, what: int) -> float:
        """Tokens per second."""
        return float(self._answer(str(what)))

    def close(self) -> None:
        """End the process."""
        self._process.communicate()

    def _answer(self, request: str) -> str:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(request + "\n")
        return self._process.stdout.readline().strip()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("builds", nargs=2, type=Path, metavar="PYTHON")
    parser.add_argument("--models", nargs="+", default=list(models.DEFAULT))
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--threads", type=int, default=_native.cpu_info()["num_cores"])
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    rows = [row for model in args.models for row in compare(model, args)]
    machine = _native.cpu_info()
    for row in rows:
        print(
            f"{row['model']:28} {row['what']:18} {row['former']:9.1f} {row['now']:9.1f} tokens/s "
            f"{row['ratio']:6.3f} ({row['ratio_quartiles'][0]:.3f} to {row['ratio_quartiles'][1]:.3f})",
            file=sys.stderr if args.json else sys.stdout,
        )
    if args.json:
        named = {key: machine[key] for key in ("model", "num_cores", "isas")}
        print(json.dumps({"machine": {**named, "threads": args.threads}, "rows": rows}))


def compare(model: str, args: argparse.Namespace) -> list[dict[str, Any]]:
    """Rates of both builds in turn: A B, B A, A B, ..., one measure after the other in each round."""
    path = models.find(model)
    vocab = models.vocab_size(path)
    job = [str(path), random_ids(PROMPT_TOKENS, vocab, 1), random_ids(SHORT_TOKENS, vocab, 2)]
    builds = [Build(python, [*job, DECODED_TOKENS, args.threads]) for python in args.builds]
    rates: list[tuple[list[float], list[float]]] = [([], []) for _ in WHATS]
    for round_ in range(args.rounds):
        for what in range(len(WHATS)):
            for index in (0, 1) if round_ % 2 == 0 else (1, 0):
                rates[what][index].append(builds[index].rate(what))
    for build in builds:
        build.close()
    return [row_of(model, what, *pair) for what, pair in zip(WHATS, rates, strict=True)]


def row_of(model: str, what: str, former: list[float], now: list[float]) -> dict[str, Any]:
    ratios = [after / before for before, after in zip(former, now, strict=True)]
    first, ratio, third = statistics.quantiles(ratios, n=4)
    return {
        "model": model,
        "what": what,
        "former": statistics.median(former),
        "now": statistics.median(now),
        "ratio": ratio,
        "ratio_quartiles": [first, third],
    }


if __name__ == "__main__":
    main()
