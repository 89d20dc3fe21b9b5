"""`phonelm generate`: continue a text."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from phonelm.cli.grammars import GrammarFile, JsonSchemaFile, Lookup, read_grammar
from phonelm.cli.options import (
    GENERATE,
    Context,
    KvType,
    Lora,
    MinP,
    ModelName,
    Temperature,
    Threads,
    TopK,
    TopP,
    load_model,
)

if TYPE_CHECKING:
    from phonelm.engine import Generation


def generate(
    model: ModelName,
    prompt: Annotated[str, typer.Option("--prompt", "-p", help="Text to continue; - reads standard input.")],
    max_tokens: Annotated[
        int, typer.Option("--max-tokens", "-n", help="Tokens to make at most.")
    ] = GENERATE.max_tokens,
    temperature: Temperature = GENERATE.temperature,
    top_k: TopK = 0,
    top_p: TopP = GENERATE.top_p,
    min_p: MinP = 0.0,
    seed: Annotated[int | None, typer.Option(help="Makes the draw repeatable.")] = None,
    threads: Threads = None,
    context: Context = None,
    kv: KvType = "f16",
    slide: Annotated[
        bool, typer.Option("--slide", help="Drop the oldest tokens when the context is full, and continue.")
    ] = False,
    lora: Lora = None,
    json_schema: JsonSchemaFile = None,
    grammar: GrammarFile = None,
    lookup: Lookup = False,
    json_: Annotated[
        bool, typer.Option("--json", help="Print one JSON document instead of the text.")
    ] = False,
) -> None:
    """Continue a text and stream it to standard output.

    \b
    Example:
      phonelm generate smollm2-135m-instruct --prompt "Once upon a time" --max-tokens 64 --seed 1
      phonelm generate smollm2-135m-instruct --prompt "A pet as JSON: " --json-schema pet.json
    """
    text = sys.stdin.read() if prompt == "-" else prompt
    rule = read_grammar(json_schema, grammar)
    with load_model(model, threads, context, kv, lora) as loaded:
        pieces = loaded.generate(
            text,
            max_tokens=max_tokens,
            temperature=temperature,
            top_k=top_k,
            top_p=top_p,
            min_p=min_p,
            seed=seed,
            context_overflow="slide" if slide else "stop",
            grammar=rule,
            lookup=lookup,
        )
        if json_:
            print(json.dumps(_document(model, text, "".join(pieces), pieces), ensure_ascii=False))
            return
        _stream(pieces, loaded.context_length)


def _stream(pieces: Generation, context_length: int) -> None:
    for piece in pieces:
        print(piece, end="", flush=True)
    print()
    if pieces.finish_reason == "context":
        print(f"phonelm: the context of {context_length} tokens is full", file=sys.stderr)


def _document(model: str, prompt: str, text: str, run: Any) -> dict[str, Any]:
    return {
        "model": model,
        "prompt": prompt,
        "text": text,
        "tokens": run.tokens,
        "finish_reason": run.finish_reason,
        "prompt_tokens": run.prompt_tokens,
        "completion_tokens": len(run.tokens),
        "prefill_tok_s": round(run.prefill_tokens_per_s, 2),
        "decode_tok_s": round(run.decode_tokens_per_s, 2),
        "drafted_tokens": run.drafted_tokens,
        "accepted_tokens": run.accepted_tokens,
        "seed": run.options.seed,
    }
