"""`phonelm survey`: the survey's figures, for this device."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from phonelm.words import counted

if TYPE_CHECKING:
    from phonelm.bench.suite import SuiteRow

QUICK_PARAMS = 600_000_000
"""What is measured where nothing is yet: a minute or two."""


def survey(
    suite: Annotated[
        Path | None, typer.Option(help="Rows to draw; those of phonelm bench --suite slm if not given.")
    ] = None,
    machine: Annotated[
        str | None, typer.Option(help="Of the file's machines, the one whose name has this in it.")
    ] = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the page and the figures.")] = Path(
        "survey"
    ),
    json_: Annotated[bool, typer.Option("--json", help="Print what was written as JSON.")] = False,
) -> None:
    """Draw small language models on this device: accuracy, latency, memory and where they go.

    PNG, SVG and CSV of each figure and one page, from the rows of `phonelm bench --suite slm`. Where
    there are none yet, the models up to 600M parameters are measured first.

    \b
    Example:
      phonelm survey --out survey
    """
    from phonelm.bench.suite import choose_device, devices_of
    from phonelm.devices import machine_info
    from phonelm.preconditions import PICTURES, require_packages, require_writable
    from phonelm.report.survey import survey_figures, write_survey

    require_packages(*PICTURES)
    require_writable(out / "survey.html")
    rows = _rows(suite)
    device = choose_device(rows, machine_info(), machine)
    others = [other for other in devices_of(rows) if other != device]
    page = write_survey(device, out, others)
    names = [figure.name for figure in survey_figures(device)]
    if json_:
        written = {"page": str(page), "figures": names, "machine": device.machine.model}
        print(json.dumps({**written, "rows": len(device.rows)}))
    else:
        print(f"{page}: {counted(len(names), 'figure')} of {counted(len(device.rows), 'row')}, {device.name}")


def _rows(path: Path | None) -> list[SuiteRow]:
    """The rows of a file that must be there, or of the suite's own, which are measured if there are none."""
    from phonelm.bench.suite import SuiteOptions, default_path, read_rows, run_suite, select
    from phonelm.progress import TerminalProgress

    if path is not None:
        if not path.is_file():
            raise FileNotFoundError(f"no suite file at {path}; make it with: phonelm bench --suite slm --out")
        return read_rows(path)
    rows = read_rows(default_path())
    if not rows:
        progress = TerminalProgress()
        progress.line("nothing is measured yet: first the models up to 600M parameters")
        run_suite(select(max_params=QUICK_PARAMS), default_path(), SuiteOptions(), progress)
        progress.line("for the larger ones run: phonelm bench --suite slm")
        rows = read_rows(default_path())
    return rows
