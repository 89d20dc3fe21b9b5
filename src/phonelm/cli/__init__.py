"""The command `phonelm`: one thin file per verb, errors in one line, exit 0 done, 1 failed, 2 wrong usage."""

from __future__ import annotations

import importlib
import signal
import sys
from types import FrameType
from typing import Annotated

import typer
from typer.core import TyperGroup

from phonelm.cli.errors import guarded, is_usage_error

VERBS = (
    "build",
    "profile",
    "search",
    "data",
    "train",
    "quantize",
    "generate",
    "chat",
    "bench",
    "survey",
    "pull",
    "models",
)


class _InOrder(TyperGroup):
    """Lists the verbs as they stand in `VERBS`; typer puts those with subcommands last."""

    def list_commands(self, _context: object) -> list[str]:
        return list(VERBS)


def make_app() -> typer.Typer:
    """Return the command with all its verbs; a verb imports what it needs when it runs."""
    app = typer.Typer(
        name="phonelm",
        cls=_InOrder,
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_root)
    for verb in VERBS:
        module = importlib.import_module(f"phonelm.cli.{verb}")
        if hasattr(module, "make_group"):
            app.add_typer(module.make_group(), name=verb)
        else:
            app.command(verb)(guarded(getattr(module, verb)))
    return app


def main() -> None:
    """Run the command line and exit."""
    signal.signal(signal.SIGTERM, _terminate)
    try:
        code = make_app()(prog_name="phonelm", standalone_mode=False)
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
