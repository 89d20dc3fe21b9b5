"""PhoneLM's claim on our own runs: shape decides speed more than it decides what a model learns.

Takes the trainings of one size from a table of `phonelm search fit-quality` (if none is named: the largest
size of the shipped one), measures every shape as a whole model with random weights on this machine, and sets
the spread of speed beside the spread of loss. Writes shape_claim.csv and shape_claim.png into --out.

The loss is that of short, equal training; see docs/quality.md. Ends with one JSON document with --json.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from phonelm.devices import machine_info
from phonelm.files import atomic_path, write_text
from phonelm.profile import DeviceProfile, profile_device
from phonelm.progress import TerminalProgress
from phonelm.search import Request
from phonelm.search.measure import measure_models
from phonelm.search.quality.regression import rank_correlation
from phonelm.search.quality.runs import RunRecord, read_table, shapes_of_runs

COLUMNS = ("nats_per_byte", "decode_ms", "prefill_ms")
SHAPE = ("name", "layers", "hidden", "heads", "kv_heads", "head_dim", "intermediate", "ffn", "activation")
TIMES = ("decode_ms", "prefill_ms", "decode_spread", "prefill_spread")
NAMES = {"nats_per_byte": "loss", "decode_ms": "decode", "prefill_ms": "prefill"}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=Path, help="table of runs (runs.csv)")
    parser.add_argument(
        "--params", type=int, help="size of the shapes; the largest of the table if not given"
    )
    parser.add_argument("--device", type=Path, help="profile of this machine (device.json)")
    parser.add_argument("--times", type=Path, help="take the times of an earlier shape_claim.csv")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--prompt", type=int, default=256)
    parser.add_argument("--output", type=int, default=128)
    parser.add_argument("--out", type=Path, default=Path("research"))
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    progress = TerminalProgress()
    runs = shapes_of_size(table(args.runs), args.params)
    request = Request(args.prompt, args.output, args.prompt + args.output)
    if args.times:
        times = earlier(runs, args.times)
    else:
        profile = DeviceProfile.load(args.device) if args.device else profile_device(progress=progress)
        times = measured(runs, request, profile, args.rounds, progress)
    rows = [{**of_run(run), **time} for run, time in zip(runs, times, strict=True)]
    write_rows(rows, args.out / "shape_claim.csv")
    spreads = {NAMES[column]: spread(rows, column) for column in COLUMNS}
    draw(rows, args.out / "shape_claim.png")
    document = {
        "machine": None if args.times else machine_info().model,
        "params": runs[0].params,
        "tokens": runs[0].tokens,
        "shapes": len(rows),
        "spread": spreads,
        "rank_correlation_loss_decode": correlation(rows, "decode_ms"),
        "rank_correlation_loss_prefill": correlation(rows, "prefill_ms"),
        "rows": rows,
    }
    print(json.dumps(document)) if args.json else show(document)
    return 0


def table(path: Path | None) -> list[RunRecord]:
    if path:
        return read_table(path.read_text(encoding="utf-8"), str(path))
    shipped = files("phonelm.search.quality").joinpath("runs.csv")
    return read_table(shipped.read_text(encoding="utf-8"), "the shipped table")


def shapes_of_size(records: list[RunRecord], params: int | None) -> list[RunRecord]:
    """One record of each shape of a size, with the mean loss of its trainings."""
    params = params or max(record.params for record in records)
    by_shape: dict[Any, list[RunRecord]] = {}
    for record in (record for record in records if record.params == params):
        by_shape.setdefault(record.shape, []).append(record)
    if len(by_shape) < 3:
        raise SystemExit(f"{len(by_shape)} shapes of {params:,} parameters show no spread; train more")
    return [
        same[0].model_copy(update={"nats_per_byte": float(np.mean([run.nats_per_byte for run in same]))})
        for same in by_shape.values()
    ]


def of_run(run: RunRecord) -> dict[str, Any]:
    return {name: getattr(run, name) for name in (*SHAPE, "total", "non_embedding", "nats_per_byte")}


def measured(
    runs: list[RunRecord], request: Request, profile: DeviceProfile, rounds: int, progress: TerminalProgress
) -> list[dict[str, float]]:
    shapes = shapes_of_runs(runs)
    configs = [shapes.config(index, request.context_length) for index in range(len(runs))]
    models = measure_models(configs, request, profile, rounds=rounds, progress=progress)
    return [{name: round(getattr(model, name), 5) for name in TIMES} for model in models]


def earlier(runs: list[RunRecord], path: Path) -> list[dict[str, float]]:
    """Times of the same shapes in an earlier file."""
    rows = list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))
    known = {tuple(row[name] for name in SHAPE): row for row in rows}
    found = [known.get(tuple(str(getattr(run, name)) for name in SHAPE)) for run in runs]
    if None in found:
        raise SystemExit(f"{path} lacks the times of {runs[found.index(None)].name}; measure again")
    return [{name: float(row[name]) for name in TIMES} for row in found if row]


def write_rows(rows: list[dict[str, Any]], path: Path) -> None:
    lines = [",".join(rows[0])]
    lines += [",".join(str(value) for value in row.values()) for row in rows]
    assert list(csv.reader(lines))
    write_text(path, "\n".join(lines) + "\n")


def values_of(rows: list[dict[str, Any]], column: str) -> np.ndarray:
    return np.array([row[column] for row in rows], dtype=float)


def spread(rows: list[dict[str, Any]], column: str) -> float:
    """Largest over smallest."""
    values = values_of(rows, column)
    return float(values.max() / values.min())


def correlation(rows: list[dict[str, Any]], column: str) -> float:
    return rank_correlation(values_of(rows, "nats_per_byte"), values_of(rows, column))


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    """Left: each quantity over its best. Right: loss against time per token."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib.figure import Figure
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    figure = Figure(figsize=(9.6, 4.0), layout="constrained")
    left, right = figure.subplots(1, 2)
    for place, column in enumerate(COLUMNS):
        values = values_of(rows, column)
        left.scatter(np.full(len(values), place), values / values.min(), s=34, alpha=0.7, linewidths=0)
    left.set_yscale("log")
    left.set_xticks(range(3), [f"{NAMES[c]}\n{spread(rows, c):.2f} x" for c in COLUMNS])
    left.set_xlim(-0.5, 2.5)
    left.yaxis.set_major_locator(FixedLocator([1, 1.2, 1.5, 2, 3, 5, 8]))
    left.yaxis.set_minor_locator(NullLocator())
    left.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    left.set_ylabel("over the best of the shapes")
    left.set_title("Spread at equal parameters", fontsize=10)
    right.scatter(values_of(rows, "decode_ms"), values_of(rows, "nats_per_byte"), s=34, linewidths=0)
    for row in rows:
        right.annotate(
            f"{row['layers']}x{row['hidden']}",
            (row["decode_ms"], row["nats_per_byte"]),
            textcoords="offset points",
            xytext=(5, 4),
            fontsize=7,
        )
    right.margins(x=0.1)
    right.set_xlabel("milliseconds per token in decode, measured")
    right.set_ylabel("held-out loss, nats per byte")
    right.set_title("Each shape (layers x width)", fontsize=10)
    for axes in (left, right):
        axes.grid(alpha=0.3, linewidth=0.6)
        axes.spines[["top", "right"]].set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=140)


def show(document: dict[str, Any]) -> None:
    print(f"machine: {document['machine'] or 'that of the earlier times'}")
    print(
        f"{document['shapes']} shapes of {document['params'] / 1e6:g}M parameters, each trained for "
        f"{document['tokens']:,} tokens"
    )
    for row in document["rows"]:
        heads = f"{row['heads']}/{row['kv_heads']}x{row['head_dim']}"
        print(
            f"{row['name']:8} {row['layers']:3} x {row['hidden']:4}  {heads:9} {row['ffn']:5} "
            f"{row['activation']:5} {row['intermediate']:5}  {row['nats_per_byte']:.4f} nats per byte  "
            f"decode {row['decode_ms']:.3f} ms  prefill {row['prefill_ms']:.2f} ms"
        )
    spreads = document["spread"]
    print(f"spread of loss    {spreads['loss'] - 1:.1%}")
    for name in ("decode", "prefill"):
        ratio = (spreads[name] - 1) / (spreads["loss"] - 1)
        print(f"spread of {name:7} {spreads[name] - 1:.0%}: {ratio:.0f} times that of the loss")
    print(
        f"rank correlation of loss with time: decode {document['rank_correlation_loss_decode']:.2f}, "
        f"prefill {document['rank_correlation_loss_prefill']:.2f}"
    )


if __name__ == "__main__":
    sys.exit(main())
