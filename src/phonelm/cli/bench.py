"""`phonelm bench`: speed and memory of models on this machine."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from phonelm.cli.completion import model_names

if TYPE_CHECKING:
    from phonelm.bench import BenchResult


def bench(
    context: typer.Context,
    models: Annotated[
        list[str] | None,
        typer.Argument(help="GGUF files, run folders or known names.", autocompletion=model_names),
    ] = None,
    prompt: Annotated[int, typer.Option(min=1, max=2**30, help="Tokens of the prompt.")] = 512,
    generate: Annotated[int, typer.Option(min=1, max=2**30, help="Tokens to make.")] = 128,
    repeats: Annotated[int, typer.Option(min=1, max=2**30, help="Runs; the median is shown.")] = 3,
    threads: Annotated[
        int | None, typer.Option(min=1, max=256, help="Threads; chosen by a short measurement if not given.")
    ] = None,
    isa: Annotated[str | None, typer.Option(help="Instruction set; the fastest here if not given.")] = None,
    kv: Annotated[str, typer.Option(help="Type of keys and values in the cache: f16 or q8_0.")] = "f16",
    dense: Annotated[
        bool, typer.Option("--dense", help="Compute the dead neurons of ReLU models too.")
    ] = False,
    layers: Annotated[
        bool, typer.Option("--layers", help="Also show the dead neurons of ReLU models by layer.")
    ] = False,
    device: Annotated[
        str, typer.Option(help="local, adb (the only phone), adb:SERIAL or ssh:HOST.")
    ] = "local",
    program: Annotated[
        Path | None,
        typer.Option(help="Static phonelm-cli for the device, if not that of PHONELM_CLI or `make arm`."),
    ] = None,
    suite: Annotated[
        str | None,
        typer.Option(help="Measure a suite instead: slm, the survey's models with random weights."),
    ] = None,
    only: Annotated[
        list[str] | None, typer.Option(help="Of a suite, this model only (may be repeated; * is anything).")
    ] = None,
    max_params: Annotated[
        str | None, typer.Option(help="Of a suite, models up to this size: 2B, 500M.")
    ] = None,
    quantization: Annotated[
        str | None,
        typer.Option(help="Of a suite, types of the weights: q4_0,q8_0. One model in all if not given."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Of a suite, the file that keeps its rows.")
    ] = None,
    json_: Annotated[
        bool, typer.Option("--json", help="Print one JSON document instead of a table.")
    ] = False,
) -> None:
    """Measure the speed and memory of models.

    Prefill and decode, with their share of what this machine's kernels and memory can do; time to the first
    token; peak memory and its parts; the kernels that ran; a checksum of the output;
    of ReLU models the share of dead neurons, which decode skips. Each model runs in a
    process of its own. A model that cannot run is refused before any is measured.

    \b
    Example:
      phonelm bench smollm2-135m-instruct runs/nano --prompt 512 --generate 128 --repeats 5
      phonelm bench --suite slm --max-params 2B
      phonelm bench --device adb smollm2-135m-instruct
    """
    from phonelm.cli import bench_device, bench_suite

    models = models or []
    bench_suite.check_suite_usage(context, models, suite)
    bench_device.check_usage(context, device, program, layers)
    if device != "local" and not suite:
        options: dict[str, Any] = {"num_threads": threads, "isa": isa, "sparse_ffn": not dense, "kv_type": kv}
        bench_device.run(device, program, models, (prompt, generate, repeats), options, json_)
        return
    if device == "local":
        _check_options(context, isa, kv)
        isa = isa or (os.environ.get("PHONELM_ISA") if suite else None)
    if suite:
        forced = {"threads": threads, "isa": isa}
        bench_suite.run(only or [], max_params, quantization, out, (device, program), forced, json_)
        return
    from phonelm.bench import check_file
    from phonelm.engine import resolve

    options = {
        "prompt_tokens": prompt,
        "generate": generate,
        "repeats": repeats,
        "num_threads": threads,
        "isa": isa,
        "sparse_ffn": not dense,
        "kv_type": kv,
    }
    paths = [resolve(model) for model in models]
    for path in paths:
        check_file(path, prompt, generate)
    results, failed = _measure_all(models, paths, options)
    if json_:
        _print_document(results, failed, {**options, "kv": kv})
    elif results:
        _print_tables(results, layers)
    if failed:
        raise typer.Exit(1)


def _check_options(context: typer.Context, isa: str | None, kv: str) -> None:
    from phonelm import _native
    from phonelm.bench import KV_TYPES

    if forced := isa or os.environ.get("PHONELM_ISA"):
        _one_of(
            "instruction set", forced, _native.cpu_info()["isas"], context, "--isa" if isa else "PHONELM_ISA"
        )
    _one_of("KV cache type", kv, KV_TYPES, context, "--kv")


def _one_of(what: str, value: str, names: Sequence[str], context: typer.Context, source: str) -> None:
    if value not in names:
        message = f"{what} '{value}' is not one of: {', '.join(names)}"
        raise typer.BadParameter(message, ctx=context, param_hint=f"'{source}'")


def _measure_all(
    models: list[str], paths: list[Path], options: dict[str, Any]
) -> tuple[list[BenchResult], list[dict[str, str]]]:
    """Measure one model after the other; one that fails is said, and left out of the results."""
    from phonelm.bench import measure_file
    from phonelm.cli.errors import explain
    from phonelm.progress import TerminalProgress

    progress = TerminalProgress()
    results, failed = [], []
    for model, path in zip(models, paths, strict=True):
        progress.line(f"measuring {path}")
        try:
            result = measure_file(path, **options)
            results.append(result.model_copy(update={"model": model}))
        except (ValueError, OSError, MemoryError, RuntimeError) as error:
            failed.append({"model": model, "error": explain(error)})
            print(f"phonelm: {model}: {explain(error)}", file=sys.stderr)
    return results, failed


def _print_document(results: list[BenchResult], failed: list[dict[str, str]], config: dict[str, Any]) -> None:
    from phonelm.devices import machine_info
    from phonelm.files import provenance

    document = {
        "made": provenance(config=config),
        "machine": machine_info().model_dump(),
        "results": [result.model_dump() for result in results],
        "failed": failed,
    }
    print(json.dumps(document))


def _print_tables(results: list[BenchResult], layers: bool) -> None:
    from phonelm.bench.table import bench_table, layers_table
    from phonelm.cli.tables import output_console, print_table

    console = output_console()
    print_table(console, bench_table(results))
    if layers and any(result.live_fractions for result in results):
        print_table(console, layers_table(results))
    elif layers:
        console.print(
            "no neurons were skipped: no ReLU, weights of another type than Q4_0 and Q8_0, or --dense",
            soft_wrap=True,
        )
