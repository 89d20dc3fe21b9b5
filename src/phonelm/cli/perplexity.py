"""`phonelm perplexity`: how likely a model finds a text."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from phonelm.cli.options import KvType, Lora, ModelName, Threads, load_model
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
    from phonelm.evaluate import Perplexity


def perplexity(
    model: ModelName,
    text: TextFile,
    context: WindowContext = None,
    stride: WindowStride = None,
    limit_tokens: LimitTokens = None,
    threads: Threads = None,
    kv: KvType = "f16",
    lora: Lora = None,
    json_: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Measure the perplexity and the bits per byte of a text.

    A long text passes in windows that overlap: each begins a stride after the last one and scores the tokens
    that the last one had not reached. Bits per byte compare models of different vocabularies.

    \b
    Example:
      phonelm perplexity smollm2-135m-instruct --text book.txt
      phonelm perplexity model.gguf --text pages.jsonl --context 2048 --stride 512 --json
    """
    from phonelm.evaluate import measure_perplexity
    from phonelm.progress import TerminalProgress

    read = read_evaluation_text(text)
    with load_model(model, threads, None, kv, lora) as loaded:
        windows, settings = cut_text([loaded], read, context, stride, limit_tokens)
        result, seconds = measure_perplexity(loaded, windows.windows, TerminalProgress())
    if json_:
        document = {
            "model": model,
            "text": text_document(read, windows),
            "settings": {**settings, "kv": kv, "lora": lora or []},
            **perplexity_document(result),
            "seconds": seconds,
            "tokens_per_s": result.num_tokens / seconds,
        }
        print_json(json.dumps(document, ensure_ascii=False))
        return
    for line in text_lines(read, windows, settings):
        print(line)
    print(f"perplexity {with_error(result.perplexity, result.perplexity_error)}")
    print(f"{result.bits_per_byte:.4f} bits per byte")
    print(f"{result.num_tokens / seconds:,.1f} tokens/s ({seconds:,.1f} s)")


def perplexity_document(result: Perplexity) -> dict[str, Any]:
    """The figures of a perplexity, for a JSON document."""
    return {
        "perplexity": result.perplexity,
        "perplexity_error": result.perplexity_error,
        "nats_per_token": result.nats_per_token,
        "nats_per_token_error": result.nats_error,
        "bits_per_byte": result.bits_per_byte,
    }


def with_error(value: float, error: float | None, digits: int = 4) -> str:
    """A figure with its standard error, where there is one."""
    return f"{value:,.{digits}f}" + ("" if error is None else f" ± {error:,.{digits}f}")
