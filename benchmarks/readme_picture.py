"""The README's picture, drawn from committed figures: docs/figures/overview-light.svg and overview-dark.svg.

Left: speed of PhoneLM and other runtimes, from docs/figures/runtime.json or a new document of
`python benchmarks/runtime.py --json`. Right: how far ten shapes of 10M parameters differ, from
research/shape_claim.csv, which `python benchmarks/search_claim.py` writes. Nothing is measured here.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from phonelm.files import write_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ROOT = Path(__file__).resolve().parents[1]
PHASES = {"prefill": "prefill of 512", "decode": "decode", "decode@512": "decode after 512"}
PEERS = {"llama.cpp": "llama.cpp, built here", "xllamacpp": "llama.cpp, wheel", "openvino": "OpenVINO GenAI"}
SPREADS = {"decode_ms": "time per token", "prefill_ms": "time of a prompt", "nats_per_byte": "loss"}
OURS = "#2f7ed8"
PEER_COLORS = ("#e69f00", "#9aa4b2", "#8b6fd0")


@dataclass(frozen=True)
class Theme:
    """Colours of one page background."""

    ink: str
    grid: str


THEMES = {"light": Theme("#1d232b", "#dde1e6"), "dark": Theme("#e6e9ee", "#3a424d")}


def main() -> None:
    """Draw both pictures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runtime", type=Path, default=ROOT / "docs/figures/runtime.json")
    parser.add_argument("--model", default="SmolLM2-135M", help="a model of that document")
    parser.add_argument("--shapes", type=Path, default=ROOT / "research/shape_claim.csv")
    parser.add_argument("--out", type=Path, default=ROOT / "docs/figures")
    args = parser.parse_args()
    bars = speeds(json.loads(args.runtime.read_text())["rows"], args.model)
    points = spreads(args.shapes)
    for name, theme in THEMES.items():
        write_text(args.out / f"overview-{name}.svg", picture(args.model, bars, points, theme))


def speeds(rows: Sequence[dict[str, Any]], model: str) -> dict[str, dict[str, float]]:
    """Tokens per second by runtime and phase; `ValueError` where the document has no such model."""
    of_model = [row for row in rows if Path(row["model"]).stem == model and row.get("peer")]
    if not of_model:
        raise ValueError(f"no rows of {model} beside a peer; name another with --model")
    bars = {"PhoneLM": {row["phase"]: float(row["ours_tok_s"]) for row in of_model}}
    for peer, title in PEERS.items():
        values = {
            row["phase"]: float(row["peer_tok_s"]) for row in of_model if row["peer"].split()[0] == peer
        }
        if values:
            bars[title] = values
    return bars


def spreads(path: Path) -> dict[str, list[float]]:
    """Each shape's loss and times, divided by the smallest of all shapes."""
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    columns = {name: [float(row[name]) for row in rows] for name in SPREADS}
    return {name: [value / min(values) for value in values] for name, values in columns.items()}


def picture(
    model: str, bars: dict[str, dict[str, float]], points: dict[str, list[float]], theme: Theme
) -> str:
    """Both panels as one SVG without a background, its text as outlines."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    settings = dict.fromkeys(("text.color", "axes.labelcolor", "xtick.color", "ytick.color"), theme.ink)
    fixed = {"svg.hashsalt": "overview", "font.family": "DejaVu Sans", "font.size": 10.0}
    with rc_context({**settings, **fixed, "axes.edgecolor": theme.grid, "legend.labelcolor": theme.ink}):
        figure = Figure(figsize=(10.4, 3.7), layout="constrained")
        left, right = figure.subplots(1, 2, width_ratios=(1.25, 1))
        _paint_speeds(left, model, bars)
        _paint_spreads(right, points, theme)
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    return "\n".join(line.rstrip() for line in buffer.getvalue().splitlines()) + "\n"


def _paint_speeds(axes: Axes, model: str, bars: dict[str, dict[str, float]]) -> None:
    """Speed of every runtime over the fastest one's of the phase, labelled in tokens per second."""
    phases = [phase for phase in PHASES if phase in bars["PhoneLM"]]
    fastest = {phase: max(values.get(phase, 0) for values in bars.values()) for phase in phases}
    height = 0.8 / len(bars)
    for index, (title, values) in enumerate(bars.items()):
        places = [row + (index - (len(bars) - 1) / 2) * height for row in range(len(phases))]
        shares = [values.get(phase, 0) / fastest[phase] for phase in phases]
        color = OURS if title == "PhoneLM" else PEER_COLORS[(index - 1) % len(PEER_COLORS)]
        drawn = axes.barh(places, shares, height * 0.9, color=color, label=title)
        labels = [f"{values.get(phase, 0):,.0f}" for phase in phases]
        axes.bar_label(drawn, labels, padding=3, fontsize=8)
    axes.set_yticks(range(len(phases)), [PHASES[phase] for phase in phases])
    axes.set_title(f"{model}, Q4_0: tokens per second", loc="left", fontsize=11, fontweight="bold")
    axes.set_xlim(0, 1.12)
    axes.invert_yaxis()
    axes.tick_params(left=False, bottom=False, labelbottom=False)
    axes.spines[:].set_visible(False)
    axes.legend(
        loc="upper center", bbox_to_anchor=(0.4, -0.01), ncols=len(bars), frameon=False, fontsize=8,
        handlelength=1, columnspacing=1.2,
    )  # fmt: skip


def _paint_spreads(axes: Axes, points: dict[str, list[float]], theme: Theme) -> None:
    """Each measure of the shapes over the smallest, one line per measure."""
    for row, values in enumerate(points.values()):
        axes.plot(
            [1, max(values)], [row, row], color=theme.grid, linewidth=6, solid_capstyle="round", zorder=1
        )
        axes.scatter(values, [row] * len(values), color=OURS, s=34, alpha=0.85, linewidths=0, zorder=2)
        axes.annotate(
            f"× {max(values):.2f}", (max(values), row), (9, 0), textcoords="offset points", va="center"
        )
    axes.set_yticks(range(len(points)), [SPREADS[name] for name in points])
    axes.set_ylim(len(points) - 0.5, -0.5)
    axes.set_xlim(0.95, max(map(max, points.values())) * 1.12)
    axes.set_xlabel("times the smallest", fontsize=9)
    count = len(next(iter(points.values())))
    axes.set_title(f"{count} shapes of 10M parameters", loc="left", fontsize=11, fontweight="bold")
    axes.tick_params(left=False)
    axes.spines[["top", "left", "right"]].set_visible(False)


if __name__ == "__main__":
    main()
