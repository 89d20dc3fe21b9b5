"""One self-contained HTML page about a search."""

from __future__ import annotations

from pathlib import Path

from phonelm.files import write_text
from phonelm.report.design_figures import candidates, plane_figure, verification_figure
from phonelm.report.figures import parts_figure
from phonelm.report.page import render
from phonelm.search import Design


def write_design_page(design: Design, path: Path | str) -> Path:
    """Write a design as a page that needs nothing else (no script, no link, no file); returns `path`."""
    figures = {
        "parts": parts_figure(candidates(design)),
        "decode": plane_figure(design, "decode_ms"),
        "prefill": plane_figure(design, "prefill_ms"),
        "memory": plane_figure(design, "memory_mb"),
    }
    if design.verification:
        rows = design.verification.rows
        figures["verified_decode"] = verification_figure(rows, "decode")
        figures["verified_prefill"] = verification_figure(rows, "prefill")
    content = {
        "design": design,
        "candidates": candidates(design),
        "front": sorted(design.front, key=lambda point: point.decode_ms),
        "figures": figures,
    }
    write_text(path, render("design.html", content))
    return Path(path)
