"""The loop of a chat: what is said next is a question or a command."""

from __future__ import annotations

from phonelm.cli.chat.commands import HINT, is_command, run_command
from phonelm.cli.chat.reading import Reader
from phonelm.cli.chat.talk import Talk, say


def converse(talk: Talk, reader: Reader) -> None:
    """Ask and answer until the user leaves."""
    while True:
        try:
            said = reader.read()
        except KeyboardInterrupt:
            say(f"\n{HINT}")
            continue
        except UnicodeDecodeError:
            say("this is no text in the terminal's encoding; type it again")
            continue
        if said is None:
            return
        if not said.is_quoted and is_command(said.text):
            if not run_command(talk, said.text):
                return
        elif said.text:
            talk.answer(said.text)
