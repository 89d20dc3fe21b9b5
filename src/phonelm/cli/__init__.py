"""The command `phonelm`: one thin file per verb, errors in one line, exit 0 done, 1 failed, 2 wrong usage."""

from __future__ import annotations

import importlib
import keyword
import signal
import sys
import warnings
from types import FrameType
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from phonelm.cli import completion
from phonelm.cli.errors import guarded, is_usage_error, report, warning_text
from phonelm.cli.streams import flush_output, prepare_streams

VERBS = {
    "build": "Design, train, quantize and run a model.",
    "profile": (
        "Measure a device: instruction sets, read bandwidth, and the cost of every operator of the runtime."
    ),
    "search": (
        "Price every shape under a budget, choose one of the fastest, and measure whole models to prove it."
    ),
    "data": (
        "Train a tokenizer on text and write the text as tokens; a folder that is up to date is left alone."
    ),
    "train": "Train a decoder; run the command again to resume after an interruption.",
    "tune": "Tune a base model; run the command again to resume after an interruption.",
    "quantize": (
        "Write a checkpoint or a GGUF file as GGUF of fewer bits, with its tokenizer and chat template."
    ),
    "import": "Write a GGUF model as a Hugging Face folder, to be trained further.",
    "generate": "Continue a text and stream it to standard output.",
    "chat": "Talk with a model in the terminal.",
    "tokenize": "Show the tokens of a text as the model reads it.",
    "perplexity": "Measure the perplexity and the bits per byte of a text.",
    "compare": "Compare a model with a reference on a text: divergence, perplexity, size and speed.",
    "bench": "Measure the speed and memory of models.",
    "evaluate": "Score a model on tasks, from the very file that ships.",
    "survey": "Draw small language models on this device: accuracy, latency, memory and where they go.",
    "pull": "Fetch a known model or a GGUF file of the hub into the cache folder.",
    "models": "List the models known by name, and those that are here.",
    "rm": "Remove models that were pulled, and what stopped pulls have left.",
    "show": "Tell what a GGUF file holds and what this runtime makes of it.",
}
"""The verbs in the order of the help, each with the first sentence of its own help."""


class _LazyVerbs(TyperGroup):
    """Imports the module of the one verb that is asked for; the list of verbs needs none of them."""

    is_completing = False

    def list_commands(self, _context: object) -> list[str]:
        return list(VERBS)

    def get_command(self, _context: object, name: str) -> Any:
        if name not in VERBS:
            return None
        return TyperCommand(name, help=VERBS[name]) if self.is_completing else load_verb(name)

    def shell_complete(self, context: Any, incomplete: str) -> Any:
        # Names and help of verbs are known without importing them.
        self.is_completing = True
        try:
            return super().shell_complete(context, incomplete)
        finally:
            self.is_completing = False

    def format_commands(self, _context: object, formatter: Any) -> None:
        room = formatter.width - 6 - max(map(len, VERBS))
        with formatter.section("Commands"):
            formatter.write_dl(
                [
                    (verb, TyperCommand(verb, help=text).get_short_help_str(room))
                    for verb, text in VERBS.items()
                ]
            )

    def resolve_command(self, context: Any, arguments: list[str]) -> Any:
        # Typer proposes verbs for a mistyped one from `commands`, which are those it has been given.
        self.commands = {verb: TyperCommand(verb) for verb in VERBS}
        return super().resolve_command(context, arguments)


def python_name(verb: str) -> str:
    """Of a verb's module and function: a word of Python's own gets an underscore."""
    return f"{verb}_" if keyword.iskeyword(verb) else verb


def load_verb(verb: str) -> Any:
    """Return the command of a verb, or the group of one with subcommands."""
    name = python_name(verb)
    module = importlib.import_module(f"phonelm.cli.{name}")
    if hasattr(module, "make_group"):
        app = module.make_group()
    else:
        app = typer.Typer(add_completion=False, rich_markup_mode=None)
        app.command(verb)(guarded(getattr(module, name)))
    command = typer.main.get_command(app)
    command.name = verb
    return command


def make_app() -> typer.Typer:
    """Return the command with all its verbs; a verb is imported when it is asked for."""
    app = typer.Typer(
        name="phonelm",
        cls=_LazyVerbs,
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_root)
    return app


def main() -> None:
    """Run the command line and exit."""
    signal.signal(signal.SIGTERM, _terminate)
    warnings.formatwarning = warning_text
    try:
        prepare_streams()
        completion.prepare()
        words = completion.with_shell(sys.argv[1:])
        code = make_app()(words, prog_name="phonelm", standalone_mode=False)
        sys.stdout.flush()
    except (OSError, ValueError) as error:
        report((sys.stdout and flush_output()) or error)
        code = 1
    except Exception as error:
        if not is_usage_error(error):
            raise
        code = _wrong_usage(error)
    sys.exit(code if isinstance(code, int) else 0)


def _print_version(wanted: bool) -> None:
    if wanted:
        from phonelm.version import package_version

        print(f"phonelm {package_version()}")
        raise typer.Exit


def _root(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=_print_version)
    ] = False,
    install_completion: Annotated[
        str | None,
        typer.Option(
            metavar="[SHELL]",
            help="Turn completion on in bash, zsh, fish, powershell.",
            is_eager=True,
            callback=completion.install,
        ),
    ] = None,
    show_completion: Annotated[
        str | None,
        typer.Option(
            metavar="[SHELL]",
            help="Print the script that does so.",
            is_eager=True,
            callback=completion.show,
        ),
    ] = None,
) -> None:
    """Name a device and a budget: design, train and run the small language model that is fastest there."""


def _wrong_usage(error: Exception) -> int:
    if type(error).__name__ == "NoArgsIsHelpError":
        print(error.format_message(), file=sys.stderr)  # type: ignore[attr-defined]
        return 2
    context = getattr(error, "ctx", None)
    command = context.command_path if context else "phonelm"
    text = " ".join(error.format_message().split())  # type: ignore[attr-defined]
    print(f"phonelm: {text.rstrip('.')}; see: {command} --help", file=sys.stderr)
    return 2


def _terminate(_signal: int, _frame: FrameType | None) -> None:
    """Leave through the `finally` blocks, so that a stopped command leaves no temporary files behind."""
    sys.exit(1)
