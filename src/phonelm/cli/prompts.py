"""Where a prompt comes from: the command line, a file, or standard input."""

from __future__ import annotations

from pathlib import Path

import typer

from phonelm.cli.streams import as_text, read_input, reads_terminal


def read_prompt(call: typer.Context, argument: str | None, option: str | None, file: Path | None) -> str:
    """Return the prompt that was given in one of the ways, else standard input, which `-` names too.

    Wrong usage (exit code 2) for two of them, and for none where standard input is a terminal. Raises
    `ValueError` for what is no text, `OSError` for a file that cannot be read.
    """
    if sum(one is not None for one in (argument, option, file)) > 1:
        call.fail("the prompt is given twice; give one of its ways only")
    if file is not None:
        return as_text(file.read_bytes(), "utf-8", str(file))
    said = argument if argument is not None else option
    if said is None and reads_terminal():
        call.fail("Missing option '--prompt'")
    return read_input() if said is None or said == "-" else said
