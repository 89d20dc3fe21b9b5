"""`phonelm chat`: a conversation in the terminal."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from phonelm.cli.answers import cut_note, speed_line
from phonelm.cli.grammars import GrammarFile, JsonSchemaFile, Lookup, read_grammar
from phonelm.cli.options import (
    CHAT,
    Context,
    FrequencyPenalty,
    KvType,
    Lora,
    MinP,
    ModelName,
    PresencePenalty,
    RepeatLastN,
    RepeatPenalty,
    Stop,
    Temperature,
    TemplateVariables,
    Threads,
    TopK,
    TopP,
    TypicalP,
    Verbose,
    load_model,
    read_variables,
)
from phonelm.cli.streams import read_line, reads_terminal, standard_input

if TYPE_CHECKING:
    from phonelm.engine import Model

_HELP = "Ctrl-C stops an answer, /clear forgets the conversation, /exit or Ctrl-D leaves."


def chat(
    model: ModelName,
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
    stop: Stop = None,
    seed: Annotated[int | None, typer.Option(help="Makes the answers repeatable.")] = None,
    threads: Threads = None,
    context: Context = None,
    kv: KvType = "f16",
    lora: Lora = None,
    json_schema: JsonSchemaFile = None,
    grammar: GrammarFile = None,
    lookup: Lookup = False,
    chat_template_kwargs: TemplateVariables = None,
    verbose: Verbose = False,
) -> None:
    """Talk with a model in the terminal.

    Answers stream as they are made, and the conversation is remembered. Ctrl-C stops an answer, /clear
    forgets the conversation, /exit or Ctrl-D leaves. Lines may be piped in.

    \b
    Example:
      phonelm chat smollm2-135m-instruct --system "Answer in one sentence."
    """
    from phonelm.engine import SamplingOptions

    options: dict[str, Any] = {
        "max_tokens": max_tokens,
        "temperature": temperature,
        "top_k": top_k,
        "top_p": top_p,
        "min_p": min_p,
        "typical_p": typical_p,
        "repeat_penalty": repeat_penalty,
        "presence_penalty": presence_penalty,
        "frequency_penalty": frequency_penalty,
        "repeat_last_n": repeat_last_n,
        "stop": tuple(stop or ()),
        "seed": seed,
    }
    SamplingOptions.from_keywords(options)
    if not reads_terminal():
        standard_input()
    rule = read_grammar(json_schema, grammar)
    variables = read_variables(chat_template_kwargs)
    turns = {"grammar": rule, "lookup": lookup, "chat_template_kwargs": variables}
    with load_model(model, threads, context, kv, lora) as loaded:
        conversation = Conversation(loaded, system, options | turns, verbose)
        # Refuses a model that cannot chat so before the first question is typed.
        conversation.ids([{"role": "user", "content": "Hello"}])
        if reads_terminal():
            _say(f"{loaded.path.name}. {_HELP}")
        conversation.run()


class Conversation:
    """The turns so far and the loop that adds to them."""

    def __init__(
        self, model: Model, system: str | None, options: dict[str, Any], verbose: bool = False
    ) -> None:
        self._verbose = verbose
        self._model = model
        self._options = options
        self._opening = [{"role": "system", "content": system}] if system else []
        self._turns: list[dict[str, str]] = []

    def ids(self, turns: list[dict[str, str]]) -> list[int]:
        """Return the token ids of the opening and some turns. Raises `ValueError` as `Model.chat_ids`."""
        return self._model.chat_ids(self._opening + turns, None, self._options["chat_template_kwargs"])

    def run(self) -> None:
        """Ask and answer until the user leaves."""
        while (line := _read_line()) is not None and line != "/exit":
            if line == "/clear":
                self._turns.clear()
                _say("forgotten")
            elif line.startswith("/"):
                _say(f"unknown command {line.split()[0]}. {_HELP}")
            elif line:
                self._answer(line)

    def _answer(self, question: str) -> None:
        self._turns.append({"role": "user", "content": question})
        pieces: list[str] = []
        try:
            self._make_room()
            for piece in self._stream():
                pieces.append(piece)
                print(piece, end="", flush=True)
            print(flush=True)
        except ValueError as error:
            self._turns.pop()
            _say(str(error))
            return
        except KeyboardInterrupt:
            print()
            _say("stopped")
        self._turns.append({"role": "assistant", "content": "".join(pieces)})

    def _stream(self) -> Any:
        answer = self._model.chat(self._opening + self._turns, stream=True, **self._options)
        try:
            yield from answer
        finally:
            answer.close()
        if self._verbose:
            _say(speed_line(answer))
        has_grammar = self._options["grammar"] is not None
        if note := cut_note(answer, self._model.context_length, has_grammar):
            _say(f"{note}; /clear starts again" if answer.finish_reason == "context" else note)

    def _make_room(self) -> None:
        """Forget the oldest turns until the question and an answer of some length fit."""
        room = self._model.context_length - min(256, self._model.context_length // 4)
        dropped = 0
        while len(self._turns) > 1 and len(self.ids(self._turns)) > room:
            # A question leaves with its answer, so that the roles keep alternating.
            del self._turns[:2]
            dropped += 1
        if dropped:
            oldest = "question" if dropped == 1 else f"{dropped} questions"
            _say(f"the context is full; forgot the oldest {oldest}")


def _read_line() -> str | None:
    """Return the next line, None at the end; Ctrl-C at the prompt drops what was typed."""
    if not reads_terminal():
        line = read_line()
        return None if line is None else line.strip()
    import readline  # noqa: F401  (arrow keys and history for input)

    while True:
        try:
            return input("> ").strip()
        except KeyboardInterrupt:
            print()
            _say(_HELP)
        except EOFError:
            print()
            return None


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
