"""Pictures of a search: the front from its sides, and predicted beside measured."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from phonelm.report.style import ACCENT, CHOSEN, MUTED, OTHER, PALETTE, draw
from phonelm.search import Candidate, Design, Verified

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Objective = Literal["decode_ms", "prefill_ms", "memory_mb"]
_WORDS: dict[Objective, str] = {
    "decode_ms": "time per token in decode (ms)",
    "prefill_ms": "time of the prompt (ms)",
    "memory_mb": "weights and KV cache (MiB)",
}
_MARKERS = ("D", "s", "^", "v")


def candidates(design: Design) -> list[tuple[str, Candidate]]:
    """The choice and the conventional shapes with their labels."""
    return [("chosen", design.chosen), *((one.name, one.candidate) for one in design.conventional)]


def plane_figure(design: Design, objective: Objective) -> str:
    """Predicted loss against one objective: priced shapes, the front, the choice, the conventional shapes."""

    def paint(axes: Axes) -> None:
        for points, colour, size, label in (
            (design.sample, MUTED, 6, "priced shapes (some)"),
            (design.front, ACCENT, 16, "Pareto front"),
        ):
            axes.scatter(
                [getattr(p, objective) for p in points],
                [p.loss_percent for p in points],
                s=size,
                c=colour,
                alpha=0.5 if colour == MUTED else 0.9,
                linewidths=0,
                label=label,
            )
        for marker, one in zip(_MARKERS, design.conventional, strict=False):
            _mark(axes, one.candidate, objective, (marker, 55, OTHER), one.name)
        _mark(axes, design.chosen, objective, ("*", 240, CHOSEN), "chosen")
        _limit(axes, design, objective)
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.xaxis.set_minor_formatter(lambda value, _: f"{value:g}")
        axes.set_xlabel(f"predicted {_WORDS[objective]}")
        axes.set_ylabel("predicted loss above the best (%)")
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=4, fontsize=9)

    title = f"Predicted loss against {_WORDS[objective]}"
    return draw(objective.split("_")[0] + "-plane", title, (7.6, 4.0), paint)


def _mark(
    axes: Axes, candidate: Candidate, objective: Objective, how: tuple[str, int, str], label: str
) -> None:
    marker, size, colour = how
    axes.scatter(
        [getattr(candidate, objective)],
        [candidate.loss_percent or 0.0],
        s=size,
        c=colour,
        marker=marker,
        edgecolors="white",
        linewidths=0.8,
        label=label,
        zorder=5,
    )


def _limit(axes: Axes, design: Design, objective: Objective) -> None:
    if (limit := design.limits.get(f"max_{objective}")) is not None:
        axes.axvline(limit, color=OTHER, linewidth=1, linestyle="--", label="limit")


def verification_figure(rows: Sequence[Verified], phase: Literal["decode", "prefill"]) -> str:
    """Measured against predicted times of whole models; on the line they are equal."""

    def paint(axes: Axes) -> None:
        roles = list(dict.fromkeys(row.role for row in rows))
        for role, colour in zip(roles, (*PALETTE, *PALETTE), strict=False):
            some = [row for row in rows if row.role == role]
            axes.scatter(
                [getattr(row, f"predicted_{phase}_ms") for row in some],
                [getattr(row, f"measured_{phase}_ms") for row in some],
                s=120 if role == "chosen" else 36,
                c=colour,
                marker="*" if role == "chosen" else "o",
                linewidths=0,
                label=role,
            )
        values = [getattr(row, f"{kind}_{phase}_ms") for row in rows for kind in ("predicted", "measured")]
        ends = (min(values) * 0.95, max(values) * 1.05)
        axes.plot(ends, ends, color=MUTED, linewidth=1, zorder=0)
        axes.set_xlabel(f"{phase}, predicted (ms)")
        axes.set_ylabel("measured (ms)")
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3, fontsize=8, columnspacing=1)

    return draw(f"{phase}-verified", f"{phase}, measured against predicted", (3.9, 3.6), paint)
