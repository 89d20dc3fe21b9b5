"""Does a text that the model reads first make quantization better, and better than llama.cpp's?

One F16 file of real weights, with noise as in `benchmarks/quantize.py`, is quantized four ways: plainly, by
importance, with errors compensated, and by llama.cpp's `llama-imatrix` and `llama-quantize --imatrix` from
the same tokens of the same text. All files run in this runtime, and their next-token distributions are
compared with the source's on other texts.

kl        mean Kullback-Leibler divergence from the source, nats per token
top       share of tokens whose most likely one is the source's
seconds   of quantizing, the reading of the text included

The calibration text is every other topic of Python's language reference (`pydoc_data.topics`), the other
texts are `benchmarks/texts/` and the topics between. With --json one document, {made, machine, rows, bars}.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any

import numpy as np
import quantize
from numpy.typing import NDArray
from peers import environment
from peers.llama_cpp_programs import output_of, program

from phonelm import _native, load
from phonelm.devices import machine_record
from phonelm.engine import resolve
from phonelm.engine.calibration import CalibrationOptions, quantize_calibrated
from phonelm.evaluate import kl_divergence
from phonelm.files import cache_folder, provenance, temporary_folder
from phonelm.formats import requantize_gguf

WINDOW = 512
WAYS = ("plain", "importance", "compensated", "llama.cpp")
PROGRAMS = ("llama-imatrix", "llama-quantize")
BARS = {
    "importance at most 0.75 of plain (q4_0)": lambda kl: kl["importance"] <= 0.75 * kl["plain"],
    "importance no larger than llama.cpp's": lambda kl: kl["importance"] <= kl["llama.cpp"],
    "compensated below both": lambda kl: kl["compensated"] < min(kl["importance"], kl["llama.cpp"]),
}
Row = dict[str, Any]
Logits = NDArray[np.float32]


def main() -> int:
    args = _arguments()
    try:
        programs = {name: program(name, args.environments, args.programs) for name in PROGRAMS}
        with temporary_folder() as folder:
            rows = measured(args, programs, Path(folder))
    except (ValueError, OSError, environment.SetupError) as error:
        print(error, file=sys.stderr)
        return 1
    bars = held_bars(rows)
    show(rows, bars, sys.stderr if args.json else sys.stdout)
    if args.json:
        info = machine_record()
        config = {key: str(value) for key, value in vars(args).items()}
        print(json.dumps({"made": provenance(config=config), "machine": info, "rows": rows, "bars": bars}))
    return 0


def measured(args: argparse.Namespace, programs: dict[str, Path], folder: Path) -> list[Row]:
    """A row for each type and way."""
    source, text = folder / "source.gguf", folder / "calibration.txt"
    quantize.write_source(resolve(args.model), source)
    names = sorted(topics)
    text.write_text("\n\n".join(topics[name] for name in names[::2]), encoding="utf-8")
    others = [*(path.read_text() for path in args.text), *(topics[name] for name in names[1::2])]
    windows = _windows(source, "\n\n".join(others), args.tokens)
    ways = _ways(args, programs, source, text, folder)
    reference = quantize.logits(source, windows)
    rows = []
    for kind in args.types:
        for way in args.ways:
            out, started = folder / "out.gguf", time.perf_counter()
            ways[way](kind, out)
            seconds = time.perf_counter() - started
            size = {"mb": round(out.stat().st_size / 1e6, 1), "seconds": round(seconds, 1)}
            differences = _compared(reference, quantize.logits(out, windows))
            rows.append({"type": kind, "way": way, **size, **differences})
            print(f"{kind} {way}: KL {differences['kl']:.4f}, {seconds:.0f} s", file=sys.stderr)
    return rows


def _ways(
    args: argparse.Namespace, programs: dict[str, Path], source: Path, text: Path, folder: Path
) -> dict[str, Callable[[str, Path], object]]:
    """Of each way a function that writes a type to a path."""
    weighted = CalibrationOptions(text, tokens=args.calibration_tokens)
    compensated = CalibrationOptions(text, compensate=True, tokens=args.calibration_tokens)
    matrix = folder / "imatrix.gguf"

    def peer(kind: str, out: Path) -> None:
        chunks = str(args.calibration_tokens // WINDOW)
        options = ["-c", str(WINDOW), "--chunks", chunks, "-t", str(args.threads), "--no-ppl"]
        if not matrix.is_file():
            output_of(
                [
                    str(programs["llama-imatrix"]),
                    "-m",
                    str(source),
                    "-f",
                    str(text),
                    "-o",
                    str(matrix),
                    *options,
                ]
            )
        output_of(
            [str(programs["llama-quantize"]), "--imatrix", str(matrix), str(source), str(out), kind.upper()]
        )

    return {
        "plain": lambda kind, out: requantize_gguf(source, out, kind),
        "importance": lambda kind, out: quantize_calibrated(source, out, kind, weighted),
        "compensated": lambda kind, out: quantize_calibrated(source, out, kind, compensated),
        "llama.cpp": peer,
    }


def _compared(reference: Logits, logits: Logits) -> Row:
    same = float(np.mean(reference.argmax(axis=1) == logits.argmax(axis=1)))
    return {"kl": kl_divergence(reference, logits), "top": same}


def _windows(source: Path, text: str, num_tokens: int) -> list[list[int]]:
    with load(source) as model:
        ids = model.tokenizer.encode(text)[:num_tokens]
    return [ids[start : start + WINDOW] for start in range(0, len(ids), WINDOW)]


def held_bars(rows: Sequence[Row]) -> dict[str, dict[str, bool]]:
    """Of each type which bars its divergences hold; the first is one for Q4_0 alone."""
    divergences: dict[str, dict[str, float]] = {}
    for row in rows:
        divergences.setdefault(row["type"], {})[row["way"]] = row["kl"]
    return {
        kind: {bar: bool(holds(kl)) for bar, holds in BARS.items() if kind == "q4_0" or "q4_0" not in bar}
        for kind, kl in divergences.items()
        if kl.keys() == set(WAYS)
    }


def show(rows: Sequence[Row], bars: dict[str, dict[str, bool]], stream: Any) -> None:
    """The rows as a table of Markdown, then the bars."""
    print("| type | way | MB | KL | same top token | seconds |", file=stream)
    print("|---|---|--:|--:|--:|--:|", file=stream)
    for row in rows:
        print(
            f"| {row['type']} | {row['way']} | {row['mb']:.1f} | {row['kl']:.4f} | {100 * row['top']:.1f} % "
            f"| {row['seconds']:.0f} |",
            file=stream,
        )
    for kind, held in bars.items():
        for bar, holds in held.items():
            print(f"{kind}: {bar}: {'yes' if holds else 'NO'}", file=stream)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("types", nargs="*", default=["q4_0", "q4_1", "q4_k_m", "q3_k_m"], metavar="TYPE")
    parser.add_argument("--ways", nargs="+", default=WAYS, choices=WAYS)
    parser.add_argument("--model", default=quantize.MODEL, help="GGUF file or known name")
    parser.add_argument("--text", type=Path, nargs="+", default=sorted(quantize.TEXTS.glob("*.txt")))
    parser.add_argument("--tokens", type=int, default=2048, help="of the other texts")
    parser.add_argument("--calibration-tokens", type=int, default=16384)
    parser.add_argument("--threads", type=int, default=_native.cpu_info()["num_cores"])
    parser.add_argument(
        "--programs", type=Path, help="folder of llama.cpp's; built on first use if not given"
    )
    parser.add_argument("--environments", type=Path, default=cache_folder() / "peers")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
