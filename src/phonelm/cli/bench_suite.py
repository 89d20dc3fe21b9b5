"""`phonelm bench --suite slm`: the options that only the suite has, and what it prints."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from phonelm.ranges import INT64_MAX

if TYPE_CHECKING:
    from phonelm.bench.suite.run import Outcome
    from phonelm.devices import MachineInfo

SUITES = ("slm",)
_SIZES = {"": 1.0, "K": 1e3, "M": 1e6, "B": 1e9}
_SUITE_ONLY = ("only", "max_params", "quantization", "out")
_MODELS_ONLY = ("prompt", "generate", "repeats", "kv", "dense", "layers")


def check_suite_usage(context: typer.Context, models: Sequence[str], suite: str | None) -> None:
    """Refuse models beside a suite, and options that the one or the other does not have."""
    if suite is None and not models:
        raise typer.BadParameter(
            "name a model to measure, or take --suite slm", ctx=context, param_hint="'MODELS'"
        )
    if suite is not None and suite not in SUITES:
        raise typer.BadParameter(
            f"suite '{suite}' is not one of: {', '.join(SUITES)}", ctx=context, param_hint="'--suite'"
        )
    if suite is not None and models:
        raise typer.BadParameter(
            "a suite brings its own models; choose among them with --only", ctx=context, param_hint="'MODELS'"
        )
    for name in _MODELS_ONLY if suite else _SUITE_ONLY:
        if _is_given(context, name):
            where = "named models only, the suite has its own" if suite else "--suite only"
            raise typer.BadParameter(
                f"it is for {where}", ctx=context, param_hint=f"'--{name.replace('_', '-')}'"
            )


def _is_given(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def parse_params(text: str | None) -> int | None:
    """A number of parameters: 2B, 0.5B, 500M. Raises `ValueError` for anything else, and for none at all."""
    if text is None:
        return None
    match = re.fullmatch(r"(\d+\.?\d*|\.\d+)([KMB]?)", text.strip().upper())
    value = float(match[1]) * _SIZES[match[2]] if match else 0.0
    params = round(value) if value < INT64_MAX else 0
    if params <= 0:
        raise ValueError(f"{text!r} is not a number of parameters; write 2B, 500M or 135000000, below 2^63")
    return params


def run(
    only: Sequence[str], max_params: str | None, quantization: str | None, out: Path | None,
    device: tuple[str, Path | None], forced: Mapping[str, Any], as_json: bool,
) -> None:  # fmt: skip
    """Measure the suite and print its rows and what was left out.

    `device` is its name and a program for it, `forced` are threads and isa.
    """
    from phonelm.arch.arithmetic import known_type
    from phonelm.bench.suite import SuiteOptions, default_path, run_suite, select
    from phonelm.bench.suite.device_meter import meter_of
    from phonelm.devices import open_device
    from phonelm.progress import TerminalProgress

    types = None if quantization is None else tuple(known_type(name) for name in quantization.split(","))
    selection = select(only, parse_params(max_params))
    path, options = out or default_path(), SuiteOptions(types, **forced)
    with open_device(*device) as connected:
        meter = meter_of(connected)
        outcome = run_suite(selection, path, options, TerminalProgress(), meter)
    if as_json:
        _print_document(outcome, options, meter.machine)
    else:
        _print_tables(outcome, path)


def _print_document(outcome: Outcome, options: Any, machine: MachineInfo) -> None:
    import dataclasses

    from phonelm.files import provenance

    document = {
        "made": provenance(config=dataclasses.asdict(options)),
        "machine": machine.model_dump(),
        "results": [row.model_dump() for row in outcome.rows],
        "left_out": outcome.left_out,
    }
    print(json.dumps(document))


def _print_tables(outcome: Outcome, path: Path) -> None:
    from phonelm.bench.suite.table import left_out_table, suite_table
    from phonelm.cli.tables import output_console, print_table

    console = output_console()
    if outcome.rows:
        print_table(console, suite_table(outcome.rows))
    if outcome.left_out:
        print_table(console, left_out_table(outcome.left_out))
    console.print(f"rows in {path}; draw them with: phonelm survey", soft_wrap=True)
