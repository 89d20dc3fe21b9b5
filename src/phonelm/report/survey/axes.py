"""What the survey's figures have in common."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from phonelm.report.style import SAFE
from phonelm.report.survey.figure import Record, place_labels

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MARKERS = "os^Dvp"
HATCHES = ("", "///", "...", "xx", "--")


def scatter(
    axes: Axes, records: Sequence[Record], x: str, y: str, colour: str, marker: str, label: str
) -> None:
    """Points of two columns; no records, nothing."""
    if records:
        axes.scatter([r[x] for r in records], [r[y] for r in records], s=26, c=colour, marker=marker,
                     linewidths=0, label=label, zorder=3)  # fmt: skip


def label_points(axes: Axes, records: Sequence[Record], x: str, y: str, size: float = 7.0) -> None:
    """Name the points as far as there is room."""
    place_labels(axes, [(record[x], record[y], record["model"]) for record in records], size)


def stack(axes: Axes, records: Sequence[Record], columns: dict[str, str]) -> None:
    """Horizontal bars, the first record on top, made of the columns in turn."""
    left = [0.0] * len(records)
    for (column, label), colour, hatch in zip(columns.items(), SAFE, HATCHES, strict=False):
        widths = [record[column] for record in records]
        axes.barh(range(len(records)), widths, 0.74, left=left, color=colour, hatch=hatch, label=label,
                  edgecolor="white", linewidth=0)  # fmt: skip
        left = [a + b for a, b in zip(left, widths, strict=True)]
    axes.set_yticks(range(len(records)), [record["model"] for record in records], fontsize=7.5)
    axes.set_ylim(len(records) - 0.4, -0.6)
    axes.grid(axis="y", visible=False)


def log_axis(axis: Any) -> None:
    """A logarithmic axis with plain numbers at 1, 2 and 5."""
    from matplotlib.ticker import LogLocator, NullFormatter

    axis.axes.set(**{f"{axis.axis_name}scale": "log"})
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.set_major_formatter(lambda value, _: f"{value:,.3g}" if value < 1000 else f"{value:,.0f}")
    axis.set_minor_formatter(NullFormatter())
