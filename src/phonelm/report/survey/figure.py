"""A figure of the survey: what is drawn, as a table, and how."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from phonelm.report.style import MUTED

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas
    from matplotlib.transforms import Bbox

Record = dict[str, Any]
Point = tuple[float, float, str]
Point2 = tuple[float, float]
_RADII, _ANGLES = (0.07, 0.17, 0.28, 0.42, 0.6), (0, 180, 90, 270, 45, 135, 315, 225, 20, 160, 200, 340)
"""Where a point's label may stand: inches from it, and degrees."""


@dataclass(frozen=True)
class Figure:
    """`paint` draws `table` and nothing else, so that the CSV is what is seen."""

    name: str
    title: str
    caption: str
    table: list[Record]
    size: tuple[float, float]
    paint: Callable[[Canvas, list[Record]], None]

    def csv(self) -> str:
        """The table with a line of names."""
        buffer = io.StringIO()
        writer = csv.DictWriter(buffer, list(self.table[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.table)
        return buffer.getvalue()


def place_labels(axes: Axes, points: Sequence[Point], size: float = 7.0) -> None:
    """Write each point's name beside it where it covers no other name, no point and no legend.

    A line leads to it where it is not beside its point; a name that finds no place is left out. Call it when
    all else is drawn: the layout stays as it is from then on.
    """
    from math import nan

    from matplotlib.lines import Line2D

    canvas = axes.get_figure(root=True)
    assert canvas is not None
    canvas.draw_without_rendering()
    canvas.set_layout_engine("none")
    frame, to_axes, taken = axes.get_window_extent(), axes.transAxes.inverted(), _taken(axes)
    lines: list[Point2] = []
    for x, y, name in points:
        spot = _pair(axes.transData.transform((x, y)))
        label = axes.text(0, 0, name, transform=axes.transAxes, fontsize=size, ha="center", va="center")
        extent = label.get_window_extent()
        places = _places(spot, extent.width + 2, extent.height, canvas.dpi)
        place = next((place for place in places if _is_free(place[0], frame, taken)), None)
        if place is None:
            label.remove()
            continue
        box, stands_off = place
        taken.append(box)
        label.set_position(_pair(to_axes.transform((box.x0 + box.width / 2, box.y0 + box.height / 2))))
        if stands_off:
            end = (min(max(spot[0], box.x0), box.x1), min(max(spot[1], box.y0), box.y1))
            lines += [_pair(to_axes.transform(spot)), _pair(to_axes.transform(end)), (nan, nan)]
    if lines:
        xs, ys = zip(*lines, strict=True)
        axes.add_line(Line2D(xs, ys, transform=axes.transAxes, color=MUTED, linewidth=0.5, zorder=1))


def _taken(axes: Axes) -> list[Bbox]:
    """Where points and the legend are, in pixels."""
    import numpy as np
    from matplotlib.transforms import Bbox

    offsets = [np.asarray(marks.get_offsets()) for marks in axes.collections]
    taken = [
        Bbox.from_bounds(x - 3, y - 3, 6, 6) for spots in offsets for x, y in axes.transData.transform(spots)
    ]
    legend = axes.get_legend()
    return [*taken, legend.get_window_extent()] if legend else taken


def _pair(values: Any) -> Point2:
    return float(values[0]), float(values[1])


def _is_free(box: Bbox, frame: Bbox, taken: Sequence[Bbox]) -> bool:
    inside = frame.x0 <= box.x0 and box.x1 <= frame.x1 and frame.y0 <= box.y0 and box.y1 <= frame.y1
    return inside and not any(box.overlaps(other) for other in taken)


def _places(spot: Point2, width: float, height: float, inch: float) -> Iterator[tuple[Bbox, bool]]:
    """Where a label of this size may stand, the nearest to its point first, and whether it needs a line."""
    from math import cos, radians, sin

    from matplotlib.transforms import Bbox

    for radius in _RADII:
        for angle in _ANGLES:
            x = spot[0] + cos(radians(angle)) * (radius * inch + width / 2)
            y = spot[1] + sin(radians(angle)) * (radius * inch + height / 2)
            yield Bbox.from_bounds(x - width / 2, y - height / 2, width, height), radius > _RADII[0]
