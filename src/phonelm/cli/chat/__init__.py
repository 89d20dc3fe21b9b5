"""`phonelm chat`: a conversation in the terminal, a single question, or questions from a pipe."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from phonelm.cli.grammars import GrammarFile, JsonSchemaFile, Lookup, read_grammar
from phonelm.cli.options import (
    CHAT,
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
    TemplateVariables,
    Threads,
    TopK,
    TopP,
    TypicalP,
    Verbose,
    XtcProbability,
    XtcThreshold,
    load_model,
    read_variables,
    sampling_options,
)
from phonelm.cli.prompts import read_prompt
from phonelm.cli.streams import print_json, reads_terminal, standard_input

if TYPE_CHECKING:
    from phonelm.cli.chat.talk import Talk


def chat(
    call: typer.Context,
    model: ModelName,
    prompt: Annotated[
        str | None,
        typer.Option("--prompt", "-p", help="Answer this question and leave; - reads standard input."),
    ] = None,
    prompt_file: Annotated[Path | None, typer.Option(help="File with the only question.")] = None,
    system: Annotated[str | None, typer.Option(help="Instruction that opens the conversation.")] = None,
    max_tokens: Annotated[
        int, typer.Option("--max-tokens", "-n", help="Tokens of an answer at most.")
    ] = CHAT.max_tokens,
    temperature: Temperature = CHAT.temperature,
    top_k: TopK = 0,
    top_p: TopP = CHAT.top_p,
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
    seed: Annotated[int | None, typer.Option(help="Makes the answers repeatable.")] = None,
    threads: Threads = None,
    context: Context = None,
    kv: KvType = "f16",
    slide: Slide = False,
    lora: Lora = None,
    json_schema: JsonSchemaFile = None,
    grammar: GrammarFile = None,
    lookup: Lookup = False,
    chat_template_kwargs: TemplateVariables = None,
    verbose: Verbose = False,
    json_: Annotated[
        bool,
        typer.Option("--json", help="Print one JSON document at the end; for --prompt and piped questions."),
    ] = False,
) -> None:
    """Talk with a model in the terminal.

    Answers stream as they are made, and the conversation is remembered. Ctrl-C stops an answer, /help lists
    the commands, /exit or Ctrl-D leaves. A line that ends with a backslash goes on in the next, and three
    double quotes begin and end a text of several lines. With --prompt one question is answered; of a pipe,
    each line is one.

    \b
    Example:
      phonelm chat smollm2-135m-instruct --system "Answer in one sentence."
      phonelm chat smollm2-135m-instruct -p "Name three colours." --json
    """
    is_single = prompt is not None or prompt_file is not None
    question = read_prompt(call, None, prompt, prompt_file) if is_single else None
    types = not is_single and reads_terminal()
    if types and json_:
        call.fail("--json is for --prompt, --prompt-file and piped questions")
    if not is_single and not types:
        standard_input()
    from phonelm.cli.chat.conversation import Conversation
    from phonelm.cli.chat.settings import Settings
    from phonelm.cli.chat.talk import Talk

    settings = Settings(sampling_options(call.params))
    options = {
        "grammar": read_grammar(json_schema, grammar),
        "lookup": lookup,
        "chat_template_kwargs": read_variables(chat_template_kwargs),
    }
    with load_model(model, threads, context, kv, lora) as loaded:
        talk = Talk(Conversation(loaded, system, options), settings, verbose, is_silent=json_)
        if question is not None:
            talk.answer_or_raise(question, interruptible=False)
        else:
            _converse(talk, types)
        if json_:
            document = {"model": model, "system": talk.conversation.system, "turns": talk.answers}
            print_json(json.dumps(document, ensure_ascii=False))


def _converse(talk: Talk, types: bool) -> None:
    from phonelm.cli.chat.commands import HINT
    from phonelm.cli.chat.history import History
    from phonelm.cli.chat.loop import converse
    from phonelm.cli.chat.reading import PipeReader, TerminalReader
    from phonelm.cli.chat.talk import say

    if types:
        say(f"{talk.conversation.model.path.name}. {HINT}")
    converse(talk, TerminalReader(History()) if types else PipeReader())
