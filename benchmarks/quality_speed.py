"""Accuracy against decode speed of files at hand, on this machine: the PhoneLM paper's figure 2, measured.

Each MODEL (a GGUF file, run folder or known name) is scored on `phonelm7` and its decode speed measured, in
turn. Scores of files that were scored before are taken from the cache. MODEL=TYPE,TYPE,... makes files of
these types first, from the model's own values.

mean      of the tasks' headline metrics, with its standard error, on --limit samples of each task
decode    tokens per second behind a prompt of 32 tokens, the median of five rounds

Prints a table, and draws --picture. With --json one document, {made, machine, rows}, to standard output.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from phonelm import load
from phonelm.devices import machine_record
from phonelm.engine import resolve
from phonelm.evaluate.run import Options, evaluate, group_means
from phonelm.evaluate.scorers import RuntimeScorer
from phonelm.evaluate.sets import fetch_sets
from phonelm.evaluate.speed import measure_speeds
from phonelm.evaluate.tasks import tasks_of
from phonelm.files import cache_folder, provenance
from phonelm.formats import requantize_gguf
from phonelm.progress import TerminalProgress
from phonelm.report.style import SAFE, Picture, render

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DEFAULT = (
    "smollm2-135m-instruct=f16,q8_0,q6_k,q5_k_m,q4_1,q4_k_m,q4_0,q3_k_m,q2_k",
    "gemma-3-270m",
)
GROUP = "phonelm7"
Row = dict[str, Any]


def main() -> int:
    args = _arguments()
    progress = TerminalProgress()
    fetch_sets(progress)
    rows = []
    for given in args.models or DEFAULT:
        for family, kind, file in _files(given):
            rows.append(_measured(family, kind, file, args))
            _show(rows[-1:], on_stderr=True)
    info = machine_record()
    document = {"made": provenance(config={k: str(v) for k, v in vars(args).items()}), "machine": info}
    _show(rows, on_stderr=args.json)
    if args.json:
        print(json.dumps({**document, "rows": rows}))
    if args.picture:
        quality_figure(rows, str(info["model"])).write(args.picture)
    return 0


def _files(given: str) -> list[tuple[str, str, Path]]:
    name, _, kinds = given.partition("=")
    source = resolve(name)
    if not kinds:
        return [(source.stem, "as it is", source)]
    folder = cache_folder() / "benchmarks"
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for kind in kinds.split(","):
        file = folder / f"{source.stem}-{kind}.gguf"
        if not file.is_file():
            requantize_gguf(source, file, kind, allow_requantize=True)
        files.append((source.stem, kind, file))
    return files


def _measured(family: str, kind: str, file: Path, args: argparse.Namespace) -> Row:
    with load(file) as model:
        results = evaluate(tasks_of(GROUP), RuntimeScorer(model), Options(limit=args.limit))
        errors = [result.metrics[result.headline].stderr or 0.0 for result in results]
        return {
            "model": family,
            "type": kind,
            "megabytes": file.stat().st_size / 1e6,
            "mean": group_means(results)[GROUP],
            "stderr": math.sqrt(sum(error**2 for error in errors)) / len(errors),
            "decode": measure_speeds([model], list(range(16, 48)))[0].decode_tok_s,
        }


def _show(rows: Sequence[Row], *, on_stderr: bool) -> None:
    for row in rows:
        print(
            f"{row['model']:24} {row['type']:9} {row['megabytes']:7.1f} MB  {100 * row['mean']:5.1f} ± "
            f"{100 * row['stderr']:.1f} %  decode {row['decode']:6.0f} tokens/s",
            file=sys.stderr if on_stderr else sys.stdout,
        )


def quality_figure(rows: Sequence[Row], machine: str) -> Picture:
    """A mark a file, one colour a model."""

    def paint(figure: Figure) -> None:
        axes = figure.add_subplot()
        for number, family in enumerate(dict.fromkeys(row["model"] for row in rows)):
            own = sorted((row for row in rows if row["model"] == family), key=lambda row: row["decode"])
            axes.errorbar(
                [row["decode"] for row in own],
                [100 * row["mean"] for row in own],
                yerr=[100 * row["stderr"] for row in own],
                color=SAFE[number],
                fmt="o-",
                linewidth=0.8,
                capsize=2,
                label=family,
            )
            for row in own:
                place = (row["decode"], 100 * row["mean"])
                axes.annotate(row["type"], place, textcoords="offset points", xytext=(4, 5), fontsize=8)
        axes.set_xlabel(f"decode, tokens/s on {machine}")
        axes.set_ylabel(f"mean of {GROUP}, %")
        axes.legend()

    return render("quality-speed", "Accuracy against decode speed", (8.0, 4.5), paint)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", nargs="*", metavar="MODEL[=TYPE,...]")
    parser.add_argument("--limit", type=int, default=200, help="samples of each task")
    parser.add_argument("--picture", type=Path, help="PNG or SVG file")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
