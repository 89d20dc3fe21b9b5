"""Speed and memory of this runtime and of llama.cpp (PyPI `xllamacpp`) on the same GGUF file.

Both get the same token ids, threads and greedy sampling; rounds alternate, each in a process of its own, so
that the peak memory is its own too. No prompt shares a prefix with another and prompt caches are off.
llama.cpp's speeds are its own `timings`; its decode counts the token that the prefill gave, ours does not.

    python benchmarks/runtime.py [MODEL ...] [--threads 1 2] [--prompt 512] [--generate 128] [--rounds 3]

MODEL is a GGUF file or a known name (default smollm2-135m-instruct, fetched when absent). A table, then one
JSON document `{made, machine, rows}` last on standard output. Without `xllamacpp` it says so and ends with 1.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import random
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

TEXT = (
    "The history of the lighthouse begins long before electricity. For centuries, keepers climbed the stairs "
    "each evening to light the lamp, trim the wick and watch the sea until morning. "
    "The most important thing was"
)
AGREEMENT_TOKENS = 64
WARM_UP = list(range(1000, 1016))


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", nargs="*", default=["smollm2-135m-instruct"], metavar="MODEL")
    parser.add_argument("--threads", type=int, nargs="+", default=[os.cpu_count() or 1])
    parser.add_argument("--prompt", type=int, default=512)
    parser.add_argument("--generate", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--worker", choices=sorted(WORKERS), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        print(json.dumps(WORKERS[args.worker](json.load(sys.stdin))))
        return 0
    if importlib.util.find_spec("xllamacpp") is None:
        print("xllamacpp is not installed; run: pip install xllamacpp", file=sys.stderr)
        return 1
    rows = [row for model in args.models for threads in args.threads for row in compare(model, threads, args)]
    print_table(rows)
    print(json.dumps(document(rows, args)))
    return 0


def compare(model: str, threads: int, args: argparse.Namespace) -> list[dict[str, Any]]:
    path = find(model)
    facts = run("describe", {"path": path, "threads": threads})
    runs: dict[str, list[dict[str, Any]]] = {"ours": [], "peer": []}
    for number in range(args.rounds):
        job = {
            "path": path,
            "threads": threads,
            "generate": args.generate,
            "prompt": random_prompt(args.prompt, facts["vocab_size"], number),
            "text_prompt": facts["text_prompt"],
        }
        for name, done in runs.items():
            print(f"{Path(path).name}, {threads} threads, round {number + 1}: {name}", file=sys.stderr)
            done.append(run(name, job))
    return [row(phase, model, threads, facts, runs) for phase in ("prefill", "decode")]


def find(model: str) -> str:
    from phonelm.engine import resolve, store
    from phonelm.progress import TerminalProgress

    if store.find(model):
        return str(store.pull(model, TerminalProgress()))
    return str(resolve(model))


def random_prompt(length: int, vocab_size: int, seed: int) -> list[int]:
    # Ids from 1000 up: control tokens stand at the front of a vocabulary.
    draw = random.Random(seed)
    return [draw.randrange(1000, vocab_size) for _ in range(length)]


def run(worker: str, job: dict[str, Any]) -> dict[str, Any]:
    command = [sys.executable, __file__, "--worker", worker]
    done = subprocess.run(command, input=json.dumps(job), capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"the {worker} process failed:\n{done.stderr[-2000:]}")
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def row(
    phase: str, model: str, threads: int, facts: dict[str, Any], runs: dict[str, list[dict[str, Any]]]
) -> dict[str, Any]:
    ours, peer = ([done[phase] for done in runs[name]] for name in ("ours", "peer"))
    peaks = {name: max(done["peak_bytes"] for done in runs[name]) for name in runs}
    speeds = statistics.median(ours), statistics.median(peer)
    return {
        "model": model,
        "type": facts["type"],
        "isa": facts["isa"],
        "phase": phase,
        "threads": threads,
        "ours_tok_s": round(speeds[0], 1),
        "peer": runs["peer"][0]["name"],
        "peer_tok_s": round(speeds[1], 1),
        "ratio": round(speeds[0] / speeds[1], 2),
        "ours_runs": [round(speed, 1) for speed in ours],
        "peer_runs": [round(speed, 1) for speed in peer],
        "ours_peak_mb": round(peaks["ours"] / 1e6, 1),
        "peer_peak_mb": round(peaks["peer"] / 1e6, 1),
        "peak_ratio": round(peaks["ours"] / peaks["peer"], 2),
        "equal_greedy_tokens": equal_lead(runs["ours"][0]["tokens"], runs["peer"][0]["tokens"]),
        "greedy_tokens": AGREEMENT_TOKENS,
    }


def equal_lead(left: list[int], right: list[int]) -> int:
    """Number of equal tokens before the first difference."""
    pairs = zip(left, right, strict=True)
    return next((index for index, (one, other) in enumerate(pairs) if one != other), len(left))


def describe(job: dict[str, Any]) -> dict[str, Any]:
    import phonelm

    with phonelm.load(job["path"], num_threads=job["threads"]) as model:
        matrices = [kind for name, kind in model.native.tensor_types.items() if name.startswith("blk.")]
        quantized = [kind for kind in matrices if kind != "F32"] or matrices
        return {
            "vocab_size": model.tokenizer.vocab_size,
            "text_prompt": model.tokenizer.encode_prompt(TEXT),
            "type": statistics.mode(quantized),
            "isa": model.native.isa,
        }


def ours(job: dict[str, Any]) -> dict[str, Any]:
    import phonelm
    from phonelm import _native

    def session_run(prompt: list[int], generate: int) -> tuple[float, float, list[int]]:
        session = model.native.new_session(len(prompt) + generate)
        start = time.perf_counter()
        session.prefill(prompt)
        first = session.sample(sampler)
        middle = time.perf_counter()
        tokens = session.decode(first, sampler, generate)
        end = time.perf_counter()
        return len(prompt) / (middle - start), generate / (end - middle), [first, *tokens]

    sampler = _native.Sampler()
    with phonelm.load(job["path"], num_threads=job["threads"]) as model:
        session_run(WARM_UP, len(WARM_UP))
        prefill, decode, _ = session_run(job["prompt"], job["generate"])
        peak = peak_bytes()
        tokens = session_run(job["text_prompt"], AGREEMENT_TOKENS)[2][:AGREEMENT_TOKENS]
    return {"prefill": prefill, "decode": decode, "tokens": tokens, "peak_bytes": peak}


def peer(job: dict[str, Any]) -> dict[str, Any]:
    import xllamacpp

    def ask(prompt: list[int], generate: int, **more: Any) -> dict[str, Any]:
        request = {"prompt": prompt, "n_predict": generate, "ignore_eos": True, "temperature": 0}
        answer: dict[str, Any] = server.handle_completions({**request, "cache_prompt": False, **more})
        return answer

    params = xllamacpp.CommonParams()
    params.model.path = job["path"]
    params.n_ctx = len(job["prompt"]) + job["generate"]
    params.n_parallel = 1
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = job["threads"]
    params.cache_prompt = False
    params.cache_ram_mib = 0
    server = xllamacpp.Server(params)
    ask(WARM_UP, len(WARM_UP))
    timings = ask(job["prompt"], job["generate"])["timings"]
    if (timings["prompt_n"], timings["predicted_n"]) != (len(job["prompt"]), job["generate"]):
        raise RuntimeError(f"llama.cpp counted other tokens than were asked for: {timings}")
    peak = peak_bytes()
    said = ask(job["text_prompt"], AGREEMENT_TOKENS, logprobs=1)["choices"][0]["logprobs"]["content"]
    return {
        "name": f"xllamacpp {xllamacpp.__version__}",
        "prefill": timings["prompt_per_second"],
        "decode": timings["predicted_per_second"],
        "tokens": [token["id"] for token in said],
        "peak_bytes": peak,
    }


def peak_bytes() -> int:
    """Most memory this process has held; counts from the size of the (smaller) process that started it."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


WORKERS = {"describe": describe, "ours": ours, "peer": peer}


def print_table(rows: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"this runtime and {rows[0]['peer']} (llama.cpp)", title_justify="left")
    for name in ("model", "type", "phase"):
        table.add_column(name)
    for name in (
        "threads",
        "ours\ntokens/s",
        "peer\ntokens/s",
        "ratio",
        "ours\npeak MB",
        "peer\npeak MB",
        "equal",
    ):
        table.add_column(name, justify="right")
    for row in rows:
        numbers = (row[key] for key in ("threads", "ours_tok_s", "peer_tok_s", "ratio"))
        peaks = (row[key] for key in ("ours_peak_mb", "peer_peak_mb"))
        equal = f"{row['equal_greedy_tokens']}/{row['greedy_tokens']}"
        table.add_row(
            Path(row["model"]).name, row["type"], row["phase"], *map(str, (*numbers, *peaks)), equal
        )
    Console(highlight=False, width=None if sys.stdout.isatty() else 120).print(table)


def document(rows: list[dict[str, Any]], args: argparse.Namespace) -> dict[str, Any]:
    from phonelm import _native
    from phonelm.files import provenance

    settings = {"prompt": args.prompt, "generate": args.generate, "rounds": args.rounds}
    machine = {key: value for key, value in _native.cpu_info().items() if key != "flags"}
    return {"made": provenance(config=settings), "machine": machine, "rows": rows}


if __name__ == "__main__":
    sys.exit(main())
