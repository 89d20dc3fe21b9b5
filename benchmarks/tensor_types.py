"""How fast the kernels of each GGUF type run: one matrix with random weights, in turn with Q4_0.

decode    one token from more weights than the caches hold: GB/s of packed weights; bytes per second relative
          to Q4_0 (1 where memory bounds both), and weights per second
prefill   a batch of tokens: multiply-adds per second relative to Q4_0

Each figure is the best of some rounds. With --json one document, {made, machine, rows}, to standard output.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from typing import Any

from measures import tables

from phonelm import _native
from phonelm.arch.arithmetic import BLOCKS
from phonelm.devices import machine_record
from phonelm.devices.asking import number
from phonelm.files import provenance

Job = dict[str, Any]
BASE = "q4_0"
TYPES = tuple(name for name, (elements, _) in BLOCKS.items() if elements > 1)
SUPER_SCALES = {"q3_k": 110 / 114, "q4_k": 144 / 148, "q5_k": 176 / 180}
"""Bytes of a block in the file over bytes in memory, where sub-scales of 6 bits are kept as bytes."""
DECODE_BYTES, PREFILL_BYTES = 256 << 20, 4 << 20
BATCH = 64


def main() -> int:
    args = _arguments()
    info = _native.cpu_info()
    isa = args.isa or info["isas"][-1]
    threads = args.threads or info["num_cores"]
    rows = []
    for name in args.types:
        print(f"{name} on {isa}, {threads} threads", file=sys.stderr)
        try:
            rows.append(measured(name, args.shape, isa, threads, args.rounds))
        except ValueError as error:
            print(error, file=sys.stderr)
            return 1
    machine = machine_record()
    document = {"made": provenance(config=vars(args)), "machine": machine, "rows": rows}
    tables.show_types(document, on_stderr=args.json)
    if args.json:
        print(json.dumps(document))
    return 0


def measured(name: str, shape: Sequence[int], isa: str, threads: int, rounds: int) -> Job:
    """The type's rates and those relative to Q4_0, each the best of `rounds`."""
    best: dict[tuple[str, int], float] = {}
    ask = _native.OperatorBench().answer
    for _ in range(rounds):
        for num_tokens, footprint in ((1, DECODE_BYTES), (BATCH, PREFILL_BYTES)):
            for kind in (BASE, name):
                sizes = f"type={kind} rows={shape[0]} cols={shape[1]} tokens={num_tokens}"
                seconds = number(ask, f"matmul {sizes} footprint={footprint} isa={isa} threads={threads}")
                best[kind, num_tokens] = min(best.get((kind, num_tokens), seconds), seconds)
    decode = best[BASE, 1] / best[name, 1]
    return {
        "type": name,
        "isa": isa,
        "threads": threads,
        "bits_per_weight": round(8 * packed_bytes(name), 3),
        "decode_gb_s": round(shape[0] * shape[1] * packed_bytes(name) / best[name, 1] / 1e9, 1),
        "decode_weights": round(decode, 2),
        "decode_bytes": round(decode * packed_bytes(name) / packed_bytes(BASE), 2),
        "prefill": round(best[BASE, BATCH] / best[name, BATCH], 2),
    }


def packed_bytes(name: str) -> float:
    """Bytes of a weight in memory."""
    elements, size = BLOCKS[name]
    return size / elements / SUPER_SCALES.get(name, 1.0)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("types", nargs="*", default=TYPES, metavar="TYPE", help=f"of {', '.join(TYPES)}")
    parser.add_argument("--shape", type=int, nargs=2, default=(2048, 2048), metavar=("ROWS", "COLUMNS"))
    parser.add_argument("--isa", default="", help="instruction set; the fastest of the machine")
    parser.add_argument("--threads", type=int, default=0, help="one per core")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    if args.rounds < 1:
        parser.error(f"{args.rounds} rounds measure nothing")
    if unknown := [name for name in args.types if name not in TYPES]:
        parser.error(f"no type {unknown[0]!r}; there are {', '.join(TYPES)}")
    return args


if __name__ == "__main__":
    sys.exit(main())
