"""Accuracy of tasks along an axis: examples in the prompt, or trained tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from phonelm.evaluate.run import group_means
from phonelm.report.style import MUTED, SAFE, Picture, render

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from phonelm.evaluate.series import Point


def accuracy_figure(points: Sequence[Point], axis: str) -> Picture:
    """Each task's headline metric with its standard error, and the means of groups that are whole."""

    def paint(figure: Figure) -> None:
        axes = figure.add_subplot()
        places = [point.at for point in points]
        for number, result in enumerate(points[0].results):
            values = [point.results[number].metrics[result.headline] for point in points]
            axes.errorbar(
                places,
                [100 * value.value for value in values],
                yerr=[100 * (value.stderr or 0.0) for value in values],
                color=SAFE[number % len(SAFE)],
                linestyle="-" if number < len(SAFE) else "--",
                marker="o",
                markersize=4,
                capsize=2,
                label=f"{result.task} ({result.headline})",
            )
        for name in group_means(points[0].results):
            means = [100 * group_means(point.results)[name] for point in points]
            axes.plot(places, means, color=MUTED, linewidth=3, label=f"mean of {name}")
        axes.set_xlabel(axis)
        axes.set_xticks(places)
        axes.set_ylabel("accuracy, %")
        axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))

    return render("evaluation", f"Accuracy by {axis}", (8.0, 4.5), paint)
