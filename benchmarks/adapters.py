"""What a LoRA adapter costs: speed with a random one on all linear layers beside speed without, in turn.

MODEL is a GGUF file or a known name. Prints one JSON document: `machine`, the adapter's bytes, the median
seconds of a swap, and for decode and prefill the tokens per second with and without (medians over the rounds)
and their ratio (median of the rounds' ratios). `plain_again_ratio` is a second run without beside the first:
what the machine's noise makes of a ratio of 1.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from measures.prompts import random_ids

from phonelm import _native
from phonelm.devices import machine_record
from phonelm.engine import Model, load
from phonelm.formats import write_gguf

TARGETS = ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", nargs="?", default="smollm2-135m-instruct", metavar="MODEL")
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--threads", type=int, help="chosen by a short measurement if not given")
    parser.add_argument("--prompt", type=int, default=512)
    parser.add_argument("--generate", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    with load(args.model, num_threads=args.threads) as model, tempfile.TemporaryDirectory() as folder:
        adapter = Path(folder) / "random.gguf"
        write_random_adapter(adapter, model, args.rank)
        document = measured(model, adapter, args)
    info = machine_record()
    print(json.dumps({"machine": info, **vars(args), **document}, indent=2))


def write_random_adapter(path: Path, model: Model, rank: int) -> None:
    """Numbers of the size that training leaves, in F16."""
    rng, tensors = np.random.default_rng(0), []
    for name, dims in model.native.tensor_shapes.items():
        if name.startswith("blk.") and name.split(".")[2] in TARGETS and name.endswith(".weight"):
            for half, shape in {"a": (rank, dims[0]), "b": (dims[1], rank)}.items():
                values = rng.normal(size=shape) * 0.05 * shape[1] ** -0.5
                tensors.append((f"{name}.lora_{half}", values.astype(np.float16)))
    metadata = {
        "general.architecture": model.metadata["general.architecture"],
        "general.type": "adapter",
        "adapter.type": "lora",
        "adapter.lora.alpha": float(rank),
    }
    write_gguf(path, metadata, tensors)


def measured(model: Model, adapter: Path, args: argparse.Namespace) -> dict[str, Any]:
    """Rounds of a run without, one with, and one without again."""
    swaps, runs = [], []
    for number in range(args.rounds + 1):
        start = time.perf_counter()
        adapters = _native.Adapters.load(model.native, [(str(adapter), 1.0)])
        swaps.append(time.perf_counter() - start)
        ids = random_ids(args.prompt, model.tokenizer.vocab_size, seed=number)
        runs.append([timed(model, ids, args.generate, used) for used in (None, adapters, None)])
    runs = runs[1:]  # the first warms up
    return {
        "adapter_bytes": adapter.stat().st_size,
        "memory_bytes": adapters.num_bytes,
        "swap_ms": round(1e3 * statistics.median(swaps), 1),
        **{phase: summary(runs, index) for index, phase in enumerate(("prefill", "decode"))},
    }


def timed(
    model: Model, ids: list[int], generate: int, adapters: _native.Adapters | None
) -> tuple[float, float]:
    """Tokens a second of the prompt and after it."""
    session, sampler = model.native.new_session(len(ids) + generate, adapters), _native.Sampler()
    start = time.perf_counter()
    session.prefill(ids)
    token = session.sample(sampler)
    middle = time.perf_counter()
    session.decode(token, sampler, generate)
    end = time.perf_counter()
    return len(ids) / (middle - start), generate / (end - middle)


def summary(runs: list[list[tuple[float, float]]], phase: int) -> dict[str, float]:
    plain, adapted, again = ([run[kind][phase] for run in runs] for kind in range(3))
    ratios = [with_it / without for without, with_it in zip(plain, adapted, strict=True)]
    noise = [second / first for first, second in zip(plain, again, strict=True)]
    return {
        "plain_tok_s": round(statistics.median(plain), 1),
        "adapted_tok_s": round(statistics.median(adapted), 1),
        "ratio": round(statistics.median(ratios), 3),
        "plain_again_ratio": round(statistics.median(noise), 3),
    }


if __name__ == "__main__":
    main()
