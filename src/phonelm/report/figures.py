"""The report's pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from phonelm.report.style import ACCENT, CHOSEN, MUTED, PALETTE, draw
from phonelm.search import Candidate

if TYPE_CHECKING:
    from matplotlib.axes import Axes


_PART_NAMES = {
    "projections": "attention's matrices",
    "attention": "attention",
    "ffn": "FFN",
    "norms": "norms",
    "head": "head",
    "overhead": "overhead",
}
_ROOM_OF_A_LETTER = 0.013
"""Of the loss curve's width, at its size of letters."""


@dataclass(frozen=True)
class Span:
    """A stage of training on the axis of trained tokens."""

    name: str
    begin: float
    end: float


@dataclass(frozen=True)
class Curve:
    """The loss over the whole training, in bits per byte, by trained tokens."""

    train: Sequence[tuple[float, float]]
    valid: Sequence[tuple[float, float]]
    stages: Sequence[Span]
    decays: Sequence[tuple[float, float]]
    """Tokens from which and to which the learning rate falls to its end."""


@dataclass(frozen=True)
class SpeedPair:
    """A predicted and a measured speed, tokens per second."""

    label: str
    predicted: float
    measured: float


def loss_figure(curve: Curve) -> str:
    """Training and held-out loss by stage; shaded where the learning rate falls."""

    def paint(axes: Axes) -> None:
        _plot(axes, curve.train, color=MUTED, linewidth=1, label="training")
        _plot(axes, curve.valid, color=CHOSEN, linewidth=1.8, marker="o", markersize=4, label="held out")
        for number, (begin, end) in enumerate(curve.decays):
            label = "" if number else "learning rate falls"
            axes.axvspan(begin / 1e6, end / 1e6, color=ACCENT, alpha=0.12, label=label)
        _mark_stages(axes, curve.stages)
        # The first steps of a random model would flatten everything that follows.
        points = [*curve.train[len(curve.train) // 20 :], *curve.valid]
        if later := [loss for _, loss in points]:
            axes.set_ylim(min(later) * 0.95, max(later) * 1.05)
        axes.set_xlabel("tokens trained (millions)")
        axes.set_ylabel("bits per byte")
        if axes.get_legend_handles_labels()[0]:
            axes.legend(loc="upper right")

    return draw("loss", "Bits per byte against tokens trained", (7.6, 3.8), paint)


def _plot(axes: Axes, points: Sequence[tuple[float, float]], **style: Any) -> None:
    if points:
        axes.plot([tokens / 1e6 for tokens, _ in points], [loss for _, loss in points], **style)


def _mark_stages(axes: Axes, stages: Sequence[Span]) -> None:
    """A line at each border and the names above, slanted where one has little room."""
    total = stages[-1].end
    is_narrow = any(stage.end - stage.begin < _ROOM_OF_A_LETTER * len(stage.name) * total for stage in stages)
    slant: dict[str, Any] = {"rotation": 30, "ha": "left"} if is_narrow else {"ha": "center"}
    for stage in stages:
        if stage.begin:
            axes.axvline(stage.begin / 1e6, color=MUTED, linewidth=1, linestyle=":")
        middle = (stage.begin + stage.end) / 2e6
        axes.text(
            middle, 1.01, stage.name, transform=axes.get_xaxis_transform(), va="bottom", fontsize=9, **slant
        )


def speeds_figure(name: str, title: str, pairs: Sequence[SpeedPair]) -> str:
    """Predicted and measured speeds side by side."""

    def paint(axes: Axes) -> None:
        for offset, colour, label in ((-0.19, MUTED, "predicted"), (0.19, CHOSEN, "measured")):
            values = [getattr(pair, label) for pair in pairs]
            bars = axes.bar([i + offset for i in range(len(pairs))], values, 0.36, color=colour, label=label)
            axes.bar_label(bars, fmt="{:,.0f}", padding=2, fontsize=9)
        axes.set_xticks(range(len(pairs)), [pair.label for pair in pairs])
        axes.set_ylabel(f"{title} (tokens/s)")
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        axes.grid(axis="x", visible=False)
        axes.margins(y=0.12)
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)

    return draw(name, f"{title}, predicted and measured", (3.9, 3.2), paint)


def parts_figure(candidates: Sequence[tuple[str, Candidate]]) -> str:
    """Where the time of a token goes, one bar per shape."""

    def paint(axes: Axes) -> None:
        left = [0.0] * len(candidates)
        for colour, part in zip(PALETTE, candidates[0][1].decode_parts_ms, strict=False):
            widths = [1e3 * candidate.decode_parts_ms[part] for _, candidate in candidates]
            axes.barh(range(len(candidates)), widths, 0.55, left=left, color=colour, label=_PART_NAMES[part])
            left = [a + b for a, b in zip(left, widths, strict=True)]
        axes.set_yticks(range(len(candidates)), [label for label, _ in candidates])
        axes.invert_yaxis()
        axes.set_xlabel("predicted time per token in decode (µs)")
        axes.grid(axis="y", visible=False)
        axes.legend(loc="lower center", bbox_to_anchor=(0.45, 1.0), ncols=6, handlelength=1, columnspacing=1)

    return draw("parts", "Time of a token by part of the model", (7.6, 1.1 + 0.42 * len(candidates)), paint)
