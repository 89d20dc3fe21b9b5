"""A sweep over weight types as a table, a picture and a page."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from phonelm.evaluate.sweep import COMPENSATED, IMPORTANCE, PLAIN, SOURCE, Sweep, SweepRow
from phonelm.files import write_text
from phonelm.report.page import render as render_page
from phonelm.report.style import SAFE, render
from phonelm.report.survey.axes import log_axis
from phonelm.report.survey.figure import place_labels

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_WAYS = {PLAIN: ("s", SAFE[6]), IMPORTANCE: ("o", SAFE[0]), COMPENSATED: ("^", SAFE[3])}
_LABELS = {PLAIN: "plain rounding", IMPORTANCE: "by importance", COMPENSATED: "errors compensated"}


def write_sweep(sweep: Sweep, folder: Path) -> Path:
    """Write `sweep.csv`, `sweep.png`, `sweep.svg` and `sweep.html` into a folder; returns the page's path.

    The picture has the mean divergence against size and against decode speed, both to be small to the left
    and right. Raises `ModuleNotFoundError` where matplotlib is missing.
    """
    name = Path(sweep.model).name
    title = f"{name} on {sweep.machine}"
    picture = render("sweep", f"Divergence by size and speed: {title}", (9.6, 4.4), _paint(sweep.rows, title))
    for suffix in ("png", "svg"):
        picture.write(folder / f"sweep.{suffix}")
    write_text(folder / "sweep.csv", sweep_csv(sweep.rows))
    content = {"sweep": sweep, "model": name, "figure": picture.inline, "ways": _LABELS}
    page = folder / "sweep.html"
    write_text(page, render_page("sweep.html", content))
    return page


def sweep_csv(rows: Sequence[SweepRow]) -> str:
    """The rows with a line of names."""
    buffer = io.StringIO()
    records = [asdict(row) for row in rows]
    writer = csv.DictWriter(buffer, list(records[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    return buffer.getvalue()


def _paint(rows: Sequence[SweepRow], title: str) -> Any:
    quantized = [row for row in rows if row.type != SOURCE]

    def paint(canvas: Any) -> None:
        canvas.suptitle(title, fontsize=10.5, fontweight="bold", parse_math=False)
        size, speed = canvas.subplots(1, 2, sharey=True)
        _scatter(size, quantized, "file_bytes", 1e6)
        _scatter(speed, quantized, "decode_tok_s", 1)
        size.set_xlabel("MB")
        size.set_ylabel("KL divergence from the source (nats)")
        speed.set_xlabel("decode (tokens/s)")
        log_axis(size.yaxis)
        size.legend(loc="upper right")
        for axes, column, unit in ((size, "file_bytes", 1e6), (speed, "decode_tok_s", 1)):
            best = _best_of_types(quantized)
            place_labels(axes, [(getattr(row, column) / unit, row.kl_mean, row.type) for row in best])

    return paint


def _scatter(axes: Axes, rows: Sequence[SweepRow], column: str, unit: float) -> None:
    for way, (marker, colour) in _WAYS.items():
        of_way = [row for row in rows if row.way == way]
        if of_way:
            xs, ys = [getattr(row, column) / unit for row in of_way], [row.kl_mean for row in of_way]
            axes.scatter(xs, ys, s=26, c=colour, marker=marker, linewidths=0, label=_LABELS[way], zorder=3)


def _best_of_types(rows: Sequence[SweepRow]) -> list[SweepRow]:
    best: dict[str, SweepRow] = {}
    for row in rows:
        if row.type not in best or row.kl_mean < best[row.type].kl_mean:
            best[row.type] = row
    return list(best.values())
