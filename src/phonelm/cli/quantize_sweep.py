"""`phonelm quantize --sweep`: what each weight type costs on this machine."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from phonelm.evaluate.sweep import Sweep, SweepRow


def run_sweep(
    model: str,
    folder: Path,
    text: Path | None,
    importance: Path | None,
    types: str | None,
    calibration_tokens: int | None,
    as_json: bool,
) -> None:
    """Measure the types, write table, picture and page, and print the rows."""
    from phonelm.evaluate.sweep import TYPES, SweepOptions
    from phonelm.evaluate.sweep import run_sweep as run
    from phonelm.preconditions import PICTURES, require_packages, require_writable
    from phonelm.progress import TerminalProgress
    from phonelm.report.sweep import write_sweep

    if text is None:
        raise typer.BadParameter("--sweep needs a text to measure on; add --text FILE")
    require_packages(*PICTURES)
    require_writable(folder / "sweep.html")
    chosen = TYPES if types is None else tuple(name.strip() for name in types.split(",") if name.strip())
    options = SweepOptions(
        text, importance, chosen, calibration_tokens=calibration_tokens or SweepOptions.calibration_tokens
    )
    sweep = run(model, folder, options, TerminalProgress())
    page = write_sweep(sweep, folder)
    if as_json:
        print(json.dumps({"page": str(page), **asdict(sweep)}))
        return
    _print_rows(sweep)
    print(page)


def _print_rows(sweep: Sweep) -> None:
    from rich.table import Table

    from phonelm.cli.tables import output_console, print_table

    names = ("bits", "MB", "decode tok/s", "prefill tok/s", "KL", "KL 99%", "same top", "perplexity ratio")
    table = Table("type", "way", *names)
    for column in table.columns[2:]:
        column.justify = "right"
    for row in sweep.rows:
        table.add_row(*_cells(row))
    print_table(output_console(), table)


def _cells(row: SweepRow) -> tuple[str, ...]:
    return (
        row.type,
        row.way,
        f"{row.bits_per_weight:.2f}",
        f"{row.file_bytes / 1e6:,.1f}",
        f"{row.decode_tok_s:,.1f}",
        f"{row.prefill_tok_s:,.0f}",
        f"{row.kl_mean:.4f}",
        f"{row.kl_p99:.3f}",
        f"{100 * row.top1_agreement:.1f}%",
        f"{row.perplexity_ratio:.4f}",
    )
