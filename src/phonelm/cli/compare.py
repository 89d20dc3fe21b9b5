"""`phonelm compare`: what a quantization costs, and what it gives."""

from __future__ import annotations

import json
from contextlib import ExitStack
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from phonelm.cli.completion import model_names
from phonelm.cli.options import KvType, Threads, load_model
from phonelm.cli.perplexity import perplexity_document, with_error
from phonelm.cli.streams import print_json
from phonelm.cli.texts import (
    LimitTokens,
    TextFile,
    WindowContext,
    WindowStride,
    cut_text,
    read_evaluation_text,
    text_document,
    text_lines,
)

if TYPE_CHECKING:
    from phonelm.engine import Model
    from phonelm.evaluate import Comparison, Speed


def compare(
    reference: Annotated[
        str, typer.Argument(help="The model to compare with, as for MODEL.", autocompletion=model_names)
    ],
    model: Annotated[
        str,
        typer.Argument(
            help="GGUF file, run or Hugging Face folder, or known name.", autocompletion=model_names
        ),
    ],
    text: TextFile,
    context: WindowContext = None,
    stride: WindowStride = None,
    limit_tokens: LimitTokens = None,
    no_speed: Annotated[bool, typer.Option("--no-speed", help="Leave out the speed of both.")] = False,
    threads: Threads = None,
    kv: KvType = "f16",
    json_: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Compare a model with a reference on a text: divergence, perplexity, size and speed.

    The next-token distributions of both are compared at each token of the text, in windows as those of
    `phonelm perplexity`. Both models must have the same vocabulary.

    \b
    Example:
      phonelm compare model-f16.gguf model-q4_k_m.gguf --text book.txt
      phonelm compare model-f16.gguf model-q4_0.gguf --text book.txt --limit-tokens 4096 --no-speed --json
    """
    from phonelm.evaluate import check_vocabularies, measure_speeds
    from phonelm.evaluate import compare as compare_models
    from phonelm.progress import TerminalProgress

    read = read_evaluation_text(text)
    progress = TerminalProgress()
    with ExitStack() as stack:
        models = [
            stack.enter_context(load_model(name, threads, None, kv, None)) for name in (reference, model)
        ]
        check_vocabularies(*models)
        windows, settings = cut_text(models, read, context, stride, limit_tokens)
        result = compare_models(models[0], models[1], windows.windows, progress)
        tokens = [token for window in windows.windows for token in window.tokens]
        speeds = [] if no_speed else measure_speeds(models, tokens, progress)
        sides = [_side(name, loaded) for name, loaded in zip((reference, model), models, strict=True)]
    for side, speed in zip(sides, speeds, strict=False):
        side["speed"] = asdict(speed)
    if json_:
        document = {
            "text": text_document(read, windows),
            "settings": {**settings, "kv": kv},
            **_document(result, sides),
        }
        print_json(json.dumps(document, ensure_ascii=False))
        return
    for line in text_lines(read, windows, settings):
        print(line)
    _print_tables(result, sides, speeds)


def _side(name: str, model: Model) -> dict[str, Any]:
    return {"model": name, "file_bytes": model.native.file_bytes, "threads": model.native.num_threads}


def _document(result: Comparison, sides: list[dict[str, Any]]) -> dict[str, Any]:
    figures = asdict(result)
    for side, figure in zip(sides, (result.reference, result.model), strict=True):
        side |= perplexity_document(figure)
    del figures["reference"], figures["model"]
    ratio = sides[1]["file_bytes"] / sides[0]["file_bytes"]
    return {"reference": sides[0], "model": sides[1], "bytes_ratio": ratio, **figures}


def _print_tables(result: Comparison, sides: list[dict[str, Any]], speeds: list[Speed]) -> None:
    from rich.table import Table

    from phonelm.cli.tables import output_console, print_table

    console = output_console()
    table = Table("", "reference", "model", "ratio")
    for column in table.columns[1:]:
        column.justify = "right"
    for row in _side_rows(result, sides, speeds):
        table.add_row(*row)
    print_table(console, table)
    table = Table("model against reference", "")
    table.columns[1].justify = "right"
    for name, value in _difference_rows(result):
        table.add_row(name, value)
    print_table(console, table)


def _side_rows(result: Comparison, sides: list[dict[str, Any]], speeds: list[Speed]) -> list[tuple[str, ...]]:
    """Figures of each of the two, and the model's over the reference's."""
    from rich.markup import escape

    both = (result.reference, result.model)
    sizes = [side["file_bytes"] for side in sides]
    rows = [
        ("file", *(escape(side["model"]) for side in sides), ""),
        ("MB", *(f"{size / 1e6:,.1f}" for size in sizes), f"{sizes[1] / sizes[0]:.3f}"),
        (
            "perplexity",
            *(with_error(one.perplexity, one.perplexity_error) for one in both),
            with_error(result.perplexity_ratio, result.perplexity_ratio_error),
        ),
        ("bits per byte", *(f"{one.bits_per_byte:.4f}" for one in both), ""),
    ]
    for name in ("prefill", "decode") if speeds else ():
        rates = [getattr(speed, f"{name}_tok_s") for speed in speeds]
        rows.append((
            f"{name}, tokens/s", *(f"{rate:,.1f}" for rate in rates), f"{rates[1] / rates[0]:.3f}"
        ))  # fmt: skip
    return rows


def _difference_rows(result: Comparison) -> list[tuple[str, str]]:
    return [
        ("KL divergence, mean, nats", with_error(result.kl_mean, result.kl_error, 6)),
        ("median", f"{result.kl_median:.6f}"),
        ("99th percentile", f"{result.kl_p99:.6f}"),
        ("maximum", f"{result.kl_max:.6f}"),
        ("same likeliest token", f"{100 * result.top1_agreement:.2f}%"),
        ("probability of the text's token, mean |difference|", f"{100 * result.probability_difference:.3f}%"),
    ]
