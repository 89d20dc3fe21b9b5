"""Standard input and output as a command finds them: closed, full, in an encoding without some characters."""

from __future__ import annotations

import io
import json
import os
import sys
from typing import TextIO


def prepare_streams() -> None:
    """Make the streams safe to write to, whatever characters come.

    Characters that the terminal's encoding lacks become question marks. Raises `ValueError` where standard
    output is closed.
    """
    if sys.stderr is None:
        # What is printed to a missing stream goes to standard output, among the results.
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 (until the process ends)
    if sys.stdout is None:
        raise ValueError(f"standard output is closed; send it to a file or to {os.devnull}")
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")


def flush_output() -> OSError | None:
    """Write what is buffered; return the failure where that cannot be, and let the rest go.

    Otherwise the interpreter would try again as it ends, and fail with a traceback. None for a reader that
    has gone, who misses nothing.
    """
    try:
        sys.stdout.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):
            return OSError(error.errno, error.strerror, "standard output")
    return None


def print_json(text: str) -> None:
    """Print a JSON document, escaped where standard output's encoding lacks one of its characters."""
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        text = json.dumps(json.loads(text))
    print(text)


def reads_terminal() -> bool:
    """Whether standard input is a terminal, where someone would have to type."""
    return sys.stdin is not None and sys.stdin.isatty()


def read_input() -> str:
    """Return all of standard input. Raises `ValueError` where it is closed or no text."""
    return as_text(standard_input().buffer.read(), standard_input().encoding, "standard input")


def read_line() -> str | None:
    """Return the next line of standard input without its end, None after the last. Raises as `read_input`."""
    line = standard_input().buffer.readline()
    return as_text(line, standard_input().encoding, "standard input") if line else None


def as_text(raw: bytes, encoding: str, source: str) -> str:
    """Decode a text, without the line end that editors and `echo` put after it. Raises `ValueError`."""
    try:
        text = raw.decode(encoding)
    except UnicodeDecodeError as error:
        raise ValueError(f"{source} is not {encoding} (byte {error.start}); convert it") from None
    return text.removesuffix("\n").removesuffix("\r") if text.endswith("\n") else text


def standard_input() -> TextIO:
    """Return standard input. Raises `ValueError` where it is closed."""
    if sys.stdin is None:
        raise ValueError("standard input is closed; give the text as an option or open it")
    return sys.stdin
