"""The report's pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

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


@dataclass(frozen=True)
class Curve:
    """The loss over the whole training, in bits per byte, by trained tokens."""

    train: Sequence[tuple[float, float]]
    valid: Sequence[tuple[float, float]]
    decay_begins: float | None
    """Tokens at which the decay stage begins."""


@dataclass(frozen=True)
class SpeedPair:
    """A predicted and a measured speed, tokens per second."""

    label: str
    predicted: float
    measured: float


def loss_figure(curve: Curve) -> str:
    """Training and held-out loss; the decay stage is shaded."""

    def paint(axes: Axes) -> None:
        if curve.train:
            axes.plot(
                [t / 1e6 for t, _ in curve.train],
                [loss for _, loss in curve.train],
                color=MUTED,
                linewidth=1,
                label="training",
            )
        if curve.valid:
            axes.plot(
                [t / 1e6 for t, _ in curve.valid],
                [loss for _, loss in curve.valid],
                color=CHOSEN,
                linewidth=1.8,
                marker="o",
                markersize=4,
                label="held out",
            )
        if curve.decay_begins is not None:
            end = max(t for t, _ in [*curve.train, *curve.valid])
            axes.axvspan(curve.decay_begins / 1e6, end / 1e6, color=ACCENT, alpha=0.12, label="decay stage")
        # The first steps of a random model would flatten everything that follows.
        later = [loss for _, loss in curve.train[len(curve.train) // 20 :]] + [
            loss for _, loss in curve.valid
        ]
        if later:
            axes.set_ylim(min(later) * 0.95, max(later) * 1.05)
        axes.set_xlabel("tokens trained (millions)")
        axes.set_ylabel("bits per byte")
        axes.legend(loc="upper right")

    return draw("loss", "Bits per byte against tokens trained", (7.6, 3.8), paint)


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
