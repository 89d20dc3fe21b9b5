"""The HTML report of a run."""

from pathlib import Path

__all__ = ["write_report"]


def write_report(run_folder: Path | str) -> Path:
    """Write `report.html` into a run folder; see `phonelm.report.html.write_report`."""
    from phonelm.report.html import write_report as write

    return write(run_folder)
