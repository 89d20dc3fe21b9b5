"""What the user says next: typed on a terminal, in one line or several, or piped, a line each."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from phonelm.cli.chat.history import History
from phonelm.cli.streams import read_line

QUOTES = '"""'


@dataclass(frozen=True)
class Said:
    """A question or a command; one between `QUOTES` is a question whatever it begins with."""

    text: str
    is_quoted: bool = False


class Reader(Protocol):
    """Where questions come from."""

    def read(self) -> Said | None:
        """Return what is said next, None at the end. `KeyboardInterrupt` drops what was typed."""


class PipeReader:
    """Each line of standard input is a question or a command."""

    def read(self) -> Said | None:
        """Return the next line, None after the last. Raises `ValueError` for what is no text."""
        line = read_line()
        return None if line is None else Said(line.strip())


class TerminalReader:
    """Lines typed or pasted, with editing and history where Python has readline."""

    def __init__(self, history: History) -> None:
        self._history = history
        self._line = _line_source(history)

    def read(self) -> Said | None:
        """Return what is typed next. Ctrl-D, also within a text of several lines, is the end."""
        try:
            said = assemble(self._line)
        except EOFError:
            print(file=sys.stderr)
            return None
        if self._history.add(_as_typed(said)):
            _remember(_as_typed(said))
        return said


def assemble(read: Callable[[str], str]) -> Said:
    r"""Return one text of as many lines as belong to it; `read` gets the prompt of each.

    A line that ends with a backslash goes on in the next. From a line that begins with `QUOTES` to one that
    ends with them, all is one text; `/system` may stand in front. A pasted text is one line with line ends in
    it.
    """
    line = read("> ")
    command, quotes, rest = line.partition(QUOTES)
    if quotes and command.strip() in ("", "/system"):
        text = _quoted(rest, read).strip("\n")
        return Said(f"{command}{text}", is_quoted=not command.strip())
    lines = [line]
    while lines[-1].endswith("\\"):
        lines[-1] = lines[-1][:-1]
        lines.append(read(". "))
    return Said("\n".join(lines).strip())


def _quoted(line: str, read: Callable[[str], str]) -> str:
    lines = [line]
    while not lines[-1].rstrip().endswith(QUOTES):
        lines.append(read(". "))
    lines[-1] = lines[-1].rstrip()[: -len(QUOTES)]
    return "\n".join(lines)


def _as_typed(said: Said) -> str:
    return f"{QUOTES}{said.text}{QUOTES}" if said.is_quoted else said.text


def _line_source(history: History) -> Callable[[str], str]:
    # Python edits lines only where both ends are a terminal; elsewhere it would print the prompt among the
    # answers.
    if not sys.stdout.isatty():
        return _read_plain
    try:
        import readline
    except ImportError:
        return input
    readline.set_auto_history(False)
    # A pasted text is then inserted as it is, its line ends too; Python turns this off.
    readline.parse_and_bind("set enable-bracketed-paste on")
    for entry in history.entries:
        readline.add_history(entry)
    return input


def _read_plain(prompt: str) -> str:
    print(prompt, end="", file=sys.stderr, flush=True)
    line = sys.stdin.readline()
    if not line:
        raise EOFError
    return line.removesuffix("\n")


def _remember(text: str) -> None:
    if "readline" in sys.modules:
        sys.modules["readline"].add_history(text)
