"""Writes the survey: PNG, SVG and CSV of each figure, and one page that needs nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from phonelm.bench.suite import Device, select
from phonelm.files import write_text
from phonelm.report.style import render
from phonelm.report.survey import bar_figures, point_figures, registry_figures
from phonelm.report.survey.data import MeasuredModel, measured_models
from phonelm.report.survey.figure import Figure


def survey_figures(device: Device) -> list[Figure]:
    """The figures that a device's rows allow, and those of the registry alone.

    Raises `ValueError` for rows of which none is of a registry's model in the type that models are compared
    in.
    """
    models = measured_models(device.rows)
    if not models:
        raise ValueError(
            f"there are no Q4_0 rows of {device.name}; run: phonelm bench --suite slm --quantization q4_0"
        )
    name = device.name
    figures = [
        point_figures.accuracy_figure(models, name),
        point_figures.latency_figure(models, name),
        point_figures.memory_figure(models, name),
        bar_figures.quantization_figure(measured_models(device.rows, None), name),
        bar_figures.split_figure(models, name),
        bar_figures.memory_split_figure(models, name),
        point_figures.shape_figure(models, name),
        registry_figures.timeline_figure(),
        registry_figures.kinds_figure(),
        registry_figures.vocabulary_figure(),
    ]
    return [figure for figure in figures if figure is not None]


def write_survey(device: Device, folder: Path | str, others: Sequence[Device] = ()) -> Path:
    """Write all figures and `survey.html` into a folder and return the page's path.

    `others` are devices whose rows the file has too: they are named on the page, not drawn.
    """
    folder = Path(folder)
    figures, inline = survey_figures(device), {}
    for figure in figures:
        picture = render(figure.name, figure.title, figure.size, _titled(figure))
        for suffix in ("png", "svg"):
            picture.write(folder / f"{figure.name}.{suffix}")
        write_text(folder / f"{figure.name}.csv", figure.csv())
        inline[figure.name] = picture.inline
    page = folder / "survey.html"
    write_text(page, _page(device, figures, inline, others))
    return page


def _titled(figure: Figure) -> Any:
    def paint(canvas: Any) -> None:
        canvas.suptitle(figure.title, fontsize=10.5, fontweight="bold", parse_math=False)
        figure.paint(canvas, figure.table)

    return paint


def _page(device: Device, figures: list[Figure], inline: dict[str, str], others: Sequence[Device]) -> str:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("phonelm.report", "survey"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    models = measured_models(device.rows)
    return environment.get_template("survey.html").render(
        device=device,
        others=others,
        models=models,
        caveats=_caveats(models),
        figures=figures,
        inline=inline,
        left_out=left_out(models),
    )


def left_out(models: Sequence[MeasuredModel]) -> dict[str, list[str]]:
    """The registry's models that were not measured, by the reason."""
    selection = select()
    by_reason: dict[str, list[str]] = {}
    measured = {model.name for of_shape in models for model in of_shape.models}
    reasons = dict(selection.left_out)
    for entry in selection.entries:
        reasons |= {name: "not measured on this device" for name in entry.names if name not in measured}
    for name, reason in reasons.items():
        by_reason.setdefault(reason, []).append(name)
    return by_reason


def _caveats(models: Sequence[MeasuredModel]) -> dict[str, str]:
    """What measured shapes leave out of their models, by model."""
    return {
        model.name: "; ".join(model.caveats)
        for measured in models
        for model in measured.models
        if model.caveats
    }
