"""How far `phonelm compare` and `llama-perplexity --kl-divergence` agree on what quantization costs.

An F16 file of real weights (as benchmarks/quantize.py makes it) is quantized to each type; both runtimes
compare each file with the source on the same tokens: disjoint windows, of which the second half is scored.

kl        mean Kullback-Leibler divergence from the source, nats per token
same top  share of tokens at which source and file find the same token likeliest
seconds   of the comparison; llama.cpp's without the run that writes the source's logits to a file

Without --text, the help texts of Python's standard library (`pydoc_data.topics`). With --json one document,
{made, machine, text, rows}, to standard output.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import time
from pathlib import Path
from typing import Any

from peers import environment
from peers.llama_cpp_programs import output_of, program
from quantize import MODEL, write_source

from phonelm import load
from phonelm.devices import machine_record
from phonelm.engine import Model, resolve
from phonelm.evaluate import Comparison, Window, compare
from phonelm.evaluate.texts import text_of
from phonelm.evaluate.windows import text_start
from phonelm.files import cache_folder, provenance, temporary_folder
from phonelm.formats import requantize_gguf

TYPES = ("q8_0", "q6_k", "q4_k_m", "q4_0", "q3_k_m")
FIGURES = {
    "perplexity": r"Mean PPL\(Q\) +: +([\d.]+)",
    "perplexity_ratio": r"Mean PPL\(Q\)/PPL\(base\) +: +([\d.]+)",
    "kl_mean": r"Mean +KLD: +(-?[\d.]+)",
    "kl_median": r"Median +KLD: +(-?[\d.]+)",
    "kl_p99": r"99\.0% +KLD: +(-?[\d.]+)",
    "kl_max": r"Maximum KLD: +(-?[\d.]+)",
    "top1_agreement": r"Same top p: +([\d.]+)",
}
"""What llama-perplexity prints, by our names."""
Row = dict[str, Any]


def main() -> int:
    args = _arguments()
    try:
        tool = args.llama_perplexity or program("llama-perplexity", args.environments)
        with temporary_folder() as folder:
            rows = measured(args, tool, Path(folder))
    except (ValueError, OSError, environment.SetupError) as error:
        print(error, file=sys.stderr)
        return 1
    info = machine_record()
    config = {key: str(value) for key, value in vars(args).items()}
    show(rows, sys.stderr if args.json else sys.stdout)
    if args.json:
        text = {"sha256": text_of(_text(args.text).encode(), "text").sha256}
        document = {"made": provenance(config=config), "machine": info, "text": text, "rows": rows}
        print(json.dumps(document))
    return 0


def measured(args: argparse.Namespace, program: Path, folder: Path) -> list[Row]:
    """A row for each type, with both runtimes' figures."""
    source, text, base = folder / "source.gguf", folder / "text", folder / "logits"
    text.write_text(_text(args.text), encoding="utf-8")
    write_source(resolve(args.model), source)
    command = [
        str(program), "-f", str(text), "-c", str(args.context), "--chunks", str(args.chunks),
        "-t", str(args.threads), "--kl-divergence-base", str(base),
    ]  # fmt: skip
    output_of([*command, "-m", str(source)])
    rows = []
    with load(source, num_threads=args.threads) as reference:
        windows = chunks(reference, text.read_text(encoding="utf-8"), args.context, args.chunks)
        for kind in args.types:
            print(kind, file=sys.stderr)
            file = folder / f"{kind}.gguf"
            write_file(source, file, kind, args.as_f16)
            started = time.perf_counter()
            with load(file, num_threads=args.threads) as model:
                ours = compare(reference, model, windows)
            between = time.perf_counter()
            theirs = figures(output_of([*command, "-m", str(file), "--kl-divergence"]))
            ended = time.perf_counter()
            rows.append({
                "type": kind,
                "ours": {**_ours(ours), "seconds": round(between - started, 1)},
                "llama_cpp": {**theirs, "seconds": round(ended - between, 1)},
            })  # fmt: skip
            file.unlink()
    return rows


def write_file(source: Path, out: Path, kind: str, as_f16: bool) -> None:
    """Quantize the source; `as_f16` keeps the quantized weights' values in F16."""
    if not as_f16:
        requantize_gguf(source, out, kind)
        return
    quantized = out.with_suffix(".quantized.gguf")
    requantize_gguf(source, quantized, kind)
    requantize_gguf(quantized, out, "f16")
    quantized.unlink()


def chunks(model: Model, text: str, context: int, count: int) -> list[Window]:
    """llama-perplexity's: disjoint, with the begin-of-text token in place of each first one."""
    ids = model.tokenizer.encode_prompt(text)
    start = text_start(model.tokenizer)
    found = []
    for begin in range(0, len(ids) // context * context, context):
        tokens = [*start, *ids[begin + len(start) : begin + context]]
        found.append(Window(tokens, context - context // 2 - 1, 0))
    return found[:count]


def figures(output: str) -> dict[str, float]:
    """The figures that llama-perplexity prints. Raises `ValueError` where one is missing."""
    values = {}
    for name, pattern in FIGURES.items():
        found = re.search(pattern, output)
        if not found:
            raise ValueError(f"llama-perplexity printed no {name}: {output[-300:]}")
        values[name] = float(found[1])
    values["top1_agreement"] /= 100
    return values


def show(rows: list[Row], stream: Any) -> None:
    """The rows as a table of Markdown, llama.cpp's figures behind ours."""
    print("| type | KL mean | median | 99 % | same top | perplexity ratio | seconds |", file=stream)
    print("|---|--:|--:|--:|--:|--:|--:|", file=stream)
    for row in rows:
        ours, theirs = row["ours"], row["llama_cpp"]
        cells = [f"{ours[name]:.4f} / {theirs[name]:.4f}" for name in ("kl_mean", "kl_median", "kl_p99")]
        cells.append(f"{ours['top1_agreement']:.3f} / {theirs['top1_agreement']:.3f}")
        cells.append(f"{ours['perplexity_ratio']:.4f} / {theirs['perplexity_ratio']:.4f}")
        cells.append(f"{ours['seconds']:.1f} / {theirs['seconds']:.1f}")
        print(f"| {row['type']} | {' | '.join(cells)} |", file=stream)


def _ours(result: Comparison) -> dict[str, float]:
    values = {name: getattr(result, name) for name in FIGURES if name != "perplexity"}
    return {**values, "perplexity": result.model.perplexity}


def _text(paths: list[Path]) -> str:
    if paths:
        return "\n\n".join(path.read_text(encoding="utf-8") for path in paths).rstrip()
    from pydoc_data.topics import topics

    return "\n\n".join(topics[name] for name in sorted(topics)).rstrip()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("types", nargs="*", default=TYPES, metavar="TYPE", help=f"{', '.join(TYPES)}")
    parser.add_argument("--model", default=MODEL, help="GGUF file or known name")
    parser.add_argument("--text", type=Path, nargs="+", default=[])
    parser.add_argument("--context", type=int, default=512)
    parser.add_argument("--chunks", type=int, default=8)
    parser.add_argument(
        "--as-f16",
        action="store_true",
        help="widen the files to F16: without int8 inputs the two agree closer",
    )
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--llama-perplexity", type=Path, help="its program; built on first use if not given")
    parser.add_argument("--environments", type=Path, default=cache_folder() / "peers")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
