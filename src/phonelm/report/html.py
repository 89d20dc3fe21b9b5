"""One self-contained HTML page about a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from phonelm.files import write_text
from phonelm.profile.table import steadiness
from phonelm.report.design_figures import candidates, plane_figure
from phonelm.report.figures import SpeedPair, loss_figure, parts_figure, speeds_figure
from phonelm.report.page import render
from phonelm.report.run_folder import RunFolder
from phonelm.search import Design


def write_report(run_folder: Path | str) -> Path:
    """Write `report.html` in a run folder whose stages up to `run` are done, and return its path.

    The page needs nothing else: no script, no link, no other file. Raises `FileNotFoundError` for a run that
    is not that far.
    """
    run = RunFolder.read(Path(run_folder))
    page = render("template.html", _content(run))
    path = run.folder / "report.html"
    write_text(path, page)
    return path


def _content(run: RunFolder) -> dict[str, Any]:
    design, curve = run.design, run.curve()
    return {
        "run": run,
        "design": design,
        "device": run.device,
        "steadiness": steadiness(run.device),
        "candidates": candidates(design),
        "conventional": _conventional(design),
        "speeds": run.run["speeds"],
        "curve": curve,
        "gain": _gain(run.run["speeds"]),
        "figures": {
            "front": plane_figure(design, "decode_ms"),
            "parts": parts_figure(candidates(design)),
            "loss": loss_figure(curve),
            "decode": speeds_figure("decode", "decode", _pairs(run, "decode")),
            "prefill": speeds_figure("prefill", "prefill", _pairs(run, "prefill")),
        },
    }


def _conventional(design: Design) -> str:
    """The name of the shape that is measured beside the chosen one."""
    best = design.best_conventional
    return best.name if best else ""


def _pairs(run: RunFolder, phase: str) -> list[SpeedPair]:
    labels = {"chosen": "chosen", "conventional": _conventional(run.design)}
    return [
        SpeedPair(labels[name], speed[phase]["predicted_tok_s"], speed[phase]["measured_tok_s"])
        for name, speed in run.run["speeds"].items()
    ]


def _gain(speeds: dict[str, Any]) -> dict[str, float] | None:
    """Measured speed of the chosen shape over the conventional one's."""
    if "conventional" not in speeds:
        return None
    return {
        phase: speeds["chosen"][phase]["measured_tok_s"] / speeds["conventional"][phase]["measured_tok_s"]
        for phase in ("decode", "prefill")
    }
