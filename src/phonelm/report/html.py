"""One self-contained HTML page about a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from phonelm.files import write_text
from phonelm.report.figures import SpeedPair, front_figure, loss_figure, parts_figure, speeds_figure
from phonelm.report.run_folder import RunFolder


def write_report(run_folder: Path | str) -> Path:
    """Write `report.html` in a run folder whose stages up to `run` are done, and return its path.

    The page needs nothing else: no script, no link, no other file. Raises `FileNotFoundError` for a run that
    is not that far.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    run = RunFolder.read(Path(run_folder))
    environment = Environment(
        loader=PackageLoader("phonelm", "report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(count=_count, seconds=_seconds, number=_number)
    page = environment.get_template("template.html").render(_content(run))
    path = run.folder / "report.html"
    write_text(path, page)
    return path


def _content(run: RunFolder) -> dict[str, Any]:
    design, curve = run.design, run.curve()
    candidates = [("chosen", design.chosen)]
    if design.conventional:
        candidates.append(("deep and thin", design.conventional))
    return {
        "run": run,
        "design": design,
        "device": run.device,
        "candidates": candidates,
        "speeds": run.run["speeds"],
        "curve": curve,
        "gain": _gain(run.run["speeds"]),
        "figures": {
            "front": front_figure(design),
            "parts": parts_figure(candidates),
            "loss": loss_figure(curve),
            "decode": speeds_figure("decode", "decode", _pairs(run, "decode")),
            "prefill": speeds_figure("prefill", "prefill", _pairs(run, "prefill")),
        },
    }


def _pairs(run: RunFolder, phase: str) -> list[SpeedPair]:
    labels = {"chosen": "chosen", "conventional": "deep and thin"}
    return [
        SpeedPair(labels[name], speed[phase]["predicted_tok_s"], speed[phase]["measured_tok_s"])
        for name, speed in run.run["speeds"].items()
    ]


def _gain(speeds: dict[str, Any]) -> dict[str, float] | None:
    """Measured speed of the chosen shape over the deep and thin one's."""
    if "conventional" not in speeds:
        return None
    return {
        phase: speeds["chosen"][phase]["measured_tok_s"] / speeds["conventional"][phase]["measured_tok_s"]
        for phase in ("decode", "prefill")
    }


def _count(value: float) -> str:
    """A large number in thousands, millions or billions: 4.72M."""
    for size, suffix in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g}{suffix}"
    return f"{value:,.0f}"


def _seconds(value: float) -> str:
    """A duration: 0.4 s, 12 s, 4 min 31 s."""
    if value < 10:
        return f"{value:.1f} s"
    minutes, seconds = divmod(round(value), 60)
    return f"{minutes} min {seconds:02d} s" if minutes else f"{seconds} s"


def _number(value: float, digits: int = 0) -> str:
    """A number with thousands marked."""
    return f"{value:,.{digits}f}"
