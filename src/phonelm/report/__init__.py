"""The HTML reports of a run and of a search."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from phonelm.search import Design

__all__ = ["write_design_page", "write_report"]


def write_report(run_folder: Path | str) -> Path:
    """Write `report.html` into a run folder; see `phonelm.report.html.write_report`."""
    from phonelm.report.html import write_report as write

    return write(run_folder)


def write_design_page(design: Design, path: Path | str) -> Path:
    """Write a design as one page; see `phonelm.report.design_page.write_design_page`."""
    from phonelm.report.design_page import write_design_page as write

    return write(design, path)
