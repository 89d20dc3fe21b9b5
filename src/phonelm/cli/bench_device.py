"""`phonelm bench --device`: models on a phone or a board."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from phonelm.words import counted

if TYPE_CHECKING:
    from phonelm.bench.result import DeviceTiming


def run(
    device: str,
    program: Path | None,
    models: list[str],
    counts: tuple[int, int, int],
    options: dict[str, Any],
    as_json: bool,
) -> None:
    """Measure one model after the other there; `counts` are prompt, generated tokens and repeats."""
    from phonelm.bench import check_file
    from phonelm.bench.on_device import time_model
    from phonelm.devices import open_device
    from phonelm.engine import resolve
    from phonelm.files import provenance
    from phonelm.progress import TerminalProgress

    paths = [resolve(model) for model in models]
    for path in paths:
        check_file(path, *counts[:2])
    progress = TerminalProgress()
    timings: list[DeviceTiming] = []
    with open_device(device, program) as connected:
        machine = connected.machine()
        for model, path in zip(models, paths, strict=True):
            progress.line(f"measuring {path} on {device}")
            timing = time_model(connected, path, *counts, **options)
            timings.append(timing.model_copy(update={"model": model}))
    if as_json:
        made = provenance(config={"device": device, **options})
        results = [timing.model_dump() for timing in timings]
        print(json.dumps({"made": made, "machine": machine.model_dump(), "results": results}))
    else:
        _print_table(machine.model, timings)


def check_usage(context: typer.Context, device: str, program: Path | None, layers: bool) -> None:
    """Refuse options that do not go together (exit code 2)."""
    hint: dict[str, Any] = {"ctx": context, "param_hint": "'--device'"}
    if device == "local" and program:
        raise typer.BadParameter("--program is for a device behind adb or ssh", **hint)
    if device != "local" and layers:
        raise typer.BadParameter("--layers is for this machine", **hint)


def _print_table(machine: str, timings: list[DeviceTiming]) -> None:
    from rich.table import Table

    from phonelm.cli.tables import output_console, print_table

    first = timings[0]
    title = f"{machine}; {counted(first.repeats, 'repeat')}: median"
    table = Table("model", title=title, title_justify="left")
    for name in (
        f"prefill of {first.prompt_tokens}\ntokens/s",
        f"decode of {first.generated_tokens}\ntokens/s",
        "first\ntoken ms",
        "memory\nMB",
        "kernels,\nthreads",
    ):
        table.add_column(name, justify="right")
    for timing in timings:
        table.add_row(
            timing.model,
            f"{timing.prefill_tok_s.median:,.1f}",
            f"{timing.decode_tok_s.median:,.1f}",
            f"{timing.first_token_s.median * 1e3:,.0f}",
            f"{timing.peak_rss_bytes / 1e6:,.0f}",
            f"{timing.isa}\n{timing.prefill_threads} and {timing.decode_threads}",
        )
    print_table(output_console(), table)
