"""`phonelm generate`: continue a text."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from phonelm.cli.answers import cut_note, speed_line
from phonelm.cli.grammars import GrammarFile, JsonSchemaFile, Lookup, read_grammar
from phonelm.cli.options import (
    GENERATE,
    Context,
    DryAllowedLength,
    DryBase,
    DryMultiplier,
    DryPenaltyLastN,
    DrySequenceBreaker,
    FrequencyPenalty,
    KvType,
    LogitBias,
    Lora,
    MinP,
    ModelName,
    PresencePenalty,
    RepeatLastN,
    RepeatPenalty,
    Slide,
    Stop,
    Temperature,
    Threads,
    TopK,
    TopP,
    TypicalP,
    Verbose,
    XtcProbability,
    XtcThreshold,
    load_model,
    sampling_options,
)
from phonelm.cli.prompts import read_prompt
from phonelm.cli.streams import print_json

if TYPE_CHECKING:
    from phonelm.engine import Generation


def generate(
    call: typer.Context,
    model: ModelName,
    text: Annotated[
        str | None,
        typer.Argument(metavar="[PROMPT]", help="Text to continue; - or none reads standard input."),
    ] = None,
    prompt: Annotated[str | None, typer.Option("--prompt", "-p", help="The same as an option.")] = None,
    prompt_file: Annotated[Path | None, typer.Option(help="File with the text to continue.")] = None,
    parse_special: Annotated[
        bool, typer.Option("--parse-special", help="Texts of control tokens become those tokens.")
    ] = False,
    max_tokens: Annotated[
        int, typer.Option("--max-tokens", "-n", help="Tokens to make at most.")
    ] = GENERATE.max_tokens,
    temperature: Temperature = GENERATE.temperature,
    top_k: TopK = 0,
    top_p: TopP = GENERATE.top_p,
    min_p: MinP = 0.0,
    typical_p: TypicalP = 1.0,
    repeat_penalty: RepeatPenalty = 1.0,
    presence_penalty: PresencePenalty = 0.0,
    frequency_penalty: FrequencyPenalty = 0.0,
    repeat_last_n: RepeatLastN = 64,
    logit_bias: LogitBias = None,
    dry_multiplier: DryMultiplier = 0.0,
    dry_base: DryBase = 1.75,
    dry_allowed_length: DryAllowedLength = 2,
    dry_penalty_last_n: DryPenaltyLastN = -1,
    dry_sequence_breaker: DrySequenceBreaker = None,
    xtc_probability: XtcProbability = 0.0,
    xtc_threshold: XtcThreshold = 0.1,
    stop: Stop = None,
    seed: Annotated[int | None, typer.Option(help="Makes the draw repeatable.")] = None,
    threads: Threads = None,
    context: Context = None,
    kv: KvType = "f16",
    slide: Slide = False,
    lora: Lora = None,
    json_schema: JsonSchemaFile = None,
    grammar: GrammarFile = None,
    lookup: Lookup = False,
    verbose: Verbose = False,
    json_: Annotated[
        bool, typer.Option("--json", help="Print one JSON document instead of the text.")
    ] = False,
) -> None:
    """Continue a text and stream it to standard output.

    \b
    Example:
      phonelm generate smollm2-135m-instruct "Once upon a time" --max-tokens 64 --seed 1
      git diff | phonelm generate smollm2-135m-instruct --max-tokens 64 --json
      phonelm generate smollm2-135m-instruct --prompt "A pet as JSON: " --json-schema pet.json
    """
    source = read_prompt(call, text, prompt, prompt_file)
    rule = read_grammar(json_schema, grammar)
    with load_model(model, threads, context, kv, lora) as loaded:
        run = loaded.generate(
            source,
            **sampling_options(call.params),
            grammar=rule,
            lookup=lookup,
            parse_special=parse_special,
        )
        if json_:
            print_json(json.dumps(_document(model, source, run), ensure_ascii=False))
        else:
            _stream(run)
        if verbose:
            _say(speed_line(run))
        if note := cut_note(run, loaded.context_length, rule is not None):
            _say(f"phonelm: {note}")


def _stream(run: Generation) -> None:
    for piece in run:
        print(piece, end="", flush=True)
    print(flush=True)


def _say(line: str) -> None:
    print(line, file=sys.stderr)


def _document(model: str, prompt: str, run: Generation) -> dict[str, Any]:
    return {
        "model": model,
        "prompt": prompt,
        "text": run.text,
        "tokens": run.tokens,
        "finish_reason": run.finish_reason,
        "complete": run.is_complete,
        "prompt_tokens": run.prompt_tokens,
        "completion_tokens": len(run.tokens),
        "prefill_tok_s": round(run.prefill_tokens_per_s, 2),
        "decode_tok_s": round(run.decode_tokens_per_s, 2),
        "drafted_tokens": run.drafted_tokens,
        "accepted_tokens": run.accepted_tokens,
        "seed": run.options.seed,
    }
