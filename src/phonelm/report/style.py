"""Matplotlib figures as inline SVG that takes its colours from the page, light or dark."""

from __future__ import annotations

import html
import io
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from phonelm.files import atomic_path

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CHOSEN, OTHER, ACCENT, MUTED = "#2f7ed8", "#e0743a", "#2a9d6f", "#9aa4b2"
PALETTE = (CHOSEN, OTHER, ACCENT, "#8b6fd0", "#d0a52f", "#c2567a", MUTED)
SAFE = ("#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9", "#8a8f98")
"""Colours that the colour-blind tell apart (Okabe and Ito)."""

# Colours no figure uses, replaced by the page's own afterwards.
_INK, _GRID = "#010203", "#040506"
_ON_WHITE = {_INK: "#1d232b", _GRID: "#dde1e6"}
_SETTINGS: dict[str, Any] = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 10.0,
    "axes.edgecolor": _GRID,
    "axes.labelcolor": _INK,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": _GRID,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "legend.labelcolor": _INK,
    "text.color": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
}


@dataclass(frozen=True)
class Picture:
    """One figure as a separate file, and as an element of a page."""

    png: bytes
    svg: str
    inline: str

    def write(self, path: Path) -> None:
        """Write it as SVG where the file is named so, else as PNG."""
        content = self.svg.encode() if path.suffix.lower() == ".svg" else self.png
        with atomic_path(path) as temporary:
            temporary.write_bytes(content)


def render(
    name: str, label: str, size: tuple[float, float], paint: Callable[[Figure], None], dpi: int = 110
) -> Picture:
    """Paint a figure of `size` inches: as files on white, and within a page in the page's colours."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    coloured = {key: _ON_WHITE[value] for key, value in _SETTINGS.items() if value in (_INK, _GRID)}
    with rc_context({**_SETTINGS, **coloured, "svg.hashsalt": name}):
        figure = Figure(figsize=size, layout="constrained")
        paint(figure)
        png, buffer = io.BytesIO(), io.StringIO()
        figure.savefig(png, format="png", dpi=dpi, facecolor="white")
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    svg, inline = buffer.getvalue(), buffer.getvalue()
    for placeholder, colour in _ON_WHITE.items():
        inline = inline.replace(colour, placeholder)
    on_white = svg.replace("<svg ", '<svg style="background: white" ', 1)
    return Picture(png.getvalue(), on_white, _inline(inline, name, html.escape(label)))


def draw(name: str, label: str, size: tuple[float, float], paint: Callable[[Axes], None]) -> str:
    """Paint one set of axes into an `<svg>` element described by `label`; `name` keeps its ids apart."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context({**_SETTINGS, "svg.hashsalt": name}):
        figure = Figure(figsize=size, layout="constrained")
        paint(figure.add_subplot())
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    return _inline(buffer.getvalue(), name, label)


def _inline(svg: str, name: str, label: str) -> str:
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r' xmlns(:\w+)?="[^"]*"', "", svg).replace("xlink:href", "href")
    svg = svg.replace(_INK, "currentColor").replace(_GRID, "var(--grid)")
    svg = re.sub(r'\bid="([^"]+)"', rf'id="{name}-\1"', svg)
    svg = re.sub(r'(href="|url\()#', rf"\1#{name}-", svg)
    svg = re.sub(r"font-family: [^;\"]*", "font-family: inherit", svg)
    svg = re.sub(r'width="[\d.]+pt" height="[\d.]+pt"', "", svg, count=1)
    return svg.replace("<svg ", f'<svg role="img" aria-label="{label}" ', 1)
