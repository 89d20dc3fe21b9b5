"""How close our quantizer and llama.cpp's keep a model to its source, for each kind of file.

One F16 file of real weights is quantized by `phonelm quantize` and llama.cpp's `llama-quantize`; both files
run in this runtime, and their next-token distributions are compared with the source's on the same text.

kl        mean Kullback-Leibler divergence from the source, nats per token
seconds   of quantizing, with all cores

SmolLM2-135M, the default, is here as Q4_1 only. Its weights lie on a grid, which would favour types
with the same one, so that noise of half a step to either side is added first; that file is the source.
With --json one document, {made, machine, rows}, to standard output.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from peers import environment
from peers.llama_cpp_programs import output_of, program

from phonelm import _native, load
from phonelm.devices import machine_record
from phonelm.engine import resolve
from phonelm.evaluate import kl_divergence
from phonelm.files import cache_folder, provenance, temporary_folder
from phonelm.formats import dequantize, quantize, requantize_gguf
from phonelm.formats.gguf_reader import StoredTensor, read_stored
from phonelm.formats.gguf_writer import LazyTensor, write_gguf
from phonelm.formats.mixtures import KINDS, file_kind

TEXTS = Path(__file__).parent / "texts"
MODEL = "smollm2-135m-instruct"
Row = dict[str, Any]


def main() -> int:
    args = _arguments()
    try:
        tool = args.llama_quantize or program("llama-quantize", args.environments)
        with temporary_folder() as folder:
            rows = measured(args, tool, Path(folder))
    except (ValueError, OSError, environment.SetupError) as error:
        print(error, file=sys.stderr)
        return 1
    info = machine_record()
    config = {key: str(value) for key, value in vars(args).items()}
    document = {"made": provenance(config=config), "machine": info, "rows": rows}
    show(rows, sys.stderr if args.json else sys.stdout)
    if args.json:
        print(json.dumps(document))
    return 0


def measured(args: argparse.Namespace, program: Path, folder: Path) -> list[Row]:
    """A row for each kind: bits per weight, and divergence and seconds of both quantizers."""
    source = folder / "source.gguf"
    write_source(resolve(args.model), source)
    with load(source) as model:
        ids = model.tokenizer.encode("\n\n".join(path.read_text() for path in args.text))[: args.tokens]
        windows = [ids[start : start + args.window] for start in range(0, len(ids), args.window)]
    reference = logits(source, windows)
    rows = []
    for kind in args.types:
        print(kind, file=sys.stderr)
        ours, theirs = folder / "ours.gguf", folder / "theirs.gguf"
        started = time.perf_counter()
        summary = requantize_gguf(source, ours, kind)
        between = time.perf_counter()
        output_of([str(program), str(source), str(theirs), kind.upper()])
        ended = time.perf_counter()
        rows.append({
            "type": kind,
            "bits_per_weight": summary["bits_per_weight"],
            "kl": kl_divergence(reference, logits(ours, windows)),
            "seconds": round(between - started, 1),
            "llama_cpp_bits_per_weight": _bits_per_weight(theirs, summary["num_parameters"]),
            "llama_cpp_kl": kl_divergence(reference, logits(theirs, windows)),
            "llama_cpp_seconds": round(ended - between, 1),
        })  # fmt: skip
    return rows


def write_source(path: Path, out: Path) -> None:
    """An F16 copy of a model, with noise of half a step where weights have 6 bits or fewer."""
    stored = read_stored(path)
    rng = np.random.default_rng(0)
    tensors = ((tensor.name, _widened(tensor, rng)) for tensor in stored.tensors)
    metadata = {key: value for key, value in stored.metadata.items() if key != "general.alignment"}
    write_gguf(out, {**metadata, "general.file_type": 1}, tensors)


def _widened(tensor: StoredTensor, rng: np.random.Generator) -> LazyTensor:
    is_vector = len(tensor.shape) == 1

    def make() -> NDArray[np.uint8]:
        values = dequantize(tensor.read(), tensor.type)
        if tensor.type not in ("f32", "f16", "bf16", "q8_0"):
            groups = values.reshape(-1, 32)
            step = np.ptp(groups, axis=1, keepdims=True) / np.float32(15)
            groups += step * (rng.random(groups.shape, dtype=np.float32) - np.float32(0.5))
        return quantize(values, "f32" if is_vector else "f16")

    return LazyTensor("f32" if is_vector else "f16", tensor.shape, make)


def logits(path: Path, windows: Sequence[list[int]]) -> NDArray[np.float32]:
    """Next-token logits of all positions, [tokens, vocabulary]."""
    with load(path) as model:
        return np.concatenate([model.logits(window) for window in windows])


def show(rows: Sequence[Row], stream: Any) -> None:
    """The rows as a table of Markdown."""
    print("| type | bits per weight | KL | seconds | llama.cpp: bits | KL | seconds |", file=stream)
    print("|---|--:|--:|--:|--:|--:|--:|", file=stream)
    for row in rows:
        print(
            f"| {row['type']} | {row['bits_per_weight']:.2f} | {row['kl']:.4f} | {row['seconds']:.1f} "
            f"| {row['llama_cpp_bits_per_weight']:.2f} | {row['llama_cpp_kl']:.4f} "
            f"| {row['llama_cpp_seconds']:.1f} |",
            file=stream,
        )


def _bits_per_weight(path: Path, num_parameters: int) -> float:
    total = sum(int(tensor["num_bytes"]) for tensor in _native.read_tensors(str(path)))
    return round(8 * total / num_parameters, 3)


def _arguments() -> argparse.Namespace:
    kinds = list(dict.fromkeys(file_kind(kind) for kind in KINDS if kind not in ("f32", "f16", "bf16")))
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("types", nargs="*", default=kinds, metavar="TYPE", help=f"of {', '.join(kinds)}")
    parser.add_argument("--model", default=MODEL, help="GGUF file or known name")
    parser.add_argument("--text", type=Path, nargs="+", default=sorted(TEXTS.glob("*.txt")))
    parser.add_argument("--tokens", type=int, default=1024)
    parser.add_argument("--window", type=int, default=512, help="tokens of context at most")
    parser.add_argument("--llama-quantize", type=Path, help="its program; built on first use if not given")
    parser.add_argument("--environments", type=Path, default=cache_folder() / "peers")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    if unknown := [kind for kind in args.types if kind not in kinds]:
        parser.error(f"no type {unknown[0]!r}; there are {', '.join(kinds)}")
    return args


if __name__ == "__main__":
    sys.exit(main())
