"""`phonelm bench`: speed and memory of models on this machine."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from phonelm.bench import BenchResult, Spread


def bench(
    models: Annotated[list[str], typer.Argument(help="GGUF files, run folders or known names.")],
    prompt: Annotated[int, typer.Option(help="Tokens of the prompt.")] = 512,
    generate: Annotated[int, typer.Option(help="Tokens to make.")] = 128,
    repeats: Annotated[int, typer.Option(help="Runs; the median is shown.")] = 3,
    threads: Annotated[int | None, typer.Option(help="Threads; all cores if not given.")] = None,
    isa: Annotated[str | None, typer.Option(help="Instruction set; the fastest here if not given.")] = None,
    json_: Annotated[
        bool, typer.Option("--json", help="Print one JSON document instead of a table.")
    ] = False,
) -> None:
    """Measure the speed and memory of models.

    Prefill, decode, time to the first token and peak memory; each model runs in a process of its own.

    \b
    Example:
      phonelm bench smollm2-135m-instruct --prompt 512 --generate 128 --repeats 5
    """
    from phonelm.bench import measure_file
    from phonelm.engine import resolve
    from phonelm.files import provenance
    from phonelm.progress import TerminalProgress

    progress = TerminalProgress()
    paths = [resolve(model) for model in models]
    results = []
    for path in paths:
        progress.line(f"measuring {path}")
        results.append(measure_file(path, prompt, generate, repeats, threads, isa))
    if json_:
        document = {"made": provenance(), "results": [result.model_dump() for result in results]}
        print(json.dumps(document))
    else:
        _print_table(results)


def _print_table(results: list[BenchResult]) -> None:
    from rich.console import Console
    from rich.table import Table

    first = results[0]
    table = Table(
        title=f"{first.isa}, {first.threads} threads, {first.repeats} repeats", title_justify="left"
    )
    table.add_column("model", overflow="fold")
    for name in (
        f"prefill of {first.prompt_tokens}\ntokens/s",
        f"decode of {first.generated_tokens}\ntokens/s",
        "first token\nms",
        "weights\nMB",
        "KV\nMB",
        "peak\nMB",
    ):
        table.add_column(name, justify="right")
    for result in results:
        table.add_row(
            result.model,
            _speed(result.prefill_tok_s),
            _speed(result.decode_tok_s),
            f"{result.first_token_s.median * 1e3:.0f}",
            *(f"{size / 1e6:.0f}" for size in (result.weight_bytes, result.kv_bytes, result.peak_rss_bytes)),
        )
    # Into a file or a pipe the table goes whole, whatever the width of the terminal.
    Console(highlight=False, width=None if sys.stdout.isatty() else 120).print(table)


def _speed(spread: Spread) -> str:
    return f"{spread.median:.1f}\n({spread.low:.0f} to {spread.high:.0f})"
