"""What begins with a slash: commands about the conversation instead of questions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from phonelm.cli.chat import saved
from phonelm.cli.chat.reading import QUOTES
from phonelm.cli.chat.talk import Talk, say
from phonelm.cli.errors import explain
from phonelm.words import counted

HINT = "Ctrl-C stops an answer, /help lists the commands, /exit or Ctrl-D leaves."
_LEAVE = ("/exit", "/bye", "/quit")


@dataclass(frozen=True)
class _Command:
    run: Callable[[Talk, str], None]
    help: str
    takes: str = ""


def is_command(text: str) -> bool:
    """Whether a text is a command: several lines are one only where they begin with a known one."""
    if not text.startswith("/"):
        return False
    return "\n" not in text or text.split()[0] in (*_COMMANDS, *_LEAVE)


def run_command(talk: Talk, text: str) -> bool:
    """Run a command and say what stops it. Returns whether the chat goes on."""
    name = text.split()[0]
    rest = text[len(name) :].strip()
    if name in _LEAVE:
        return False
    command = _COMMANDS.get(name)
    if command is None:
        say(f"unknown command {name}. {HINT} A question that begins with / goes between {QUOTES}.")
    elif rest and not command.takes:
        say(f"{name} takes nothing after it")
    else:
        try:
            command.run(talk, rest)
        except (ValueError, OSError) as error:
            say(explain(error))
    return True


def _help(_talk: Talk, _rest: str) -> None:
    shown = {f"{name} {command.takes}".strip(): command.help for name, command in _COMMANDS.items()}
    shown[", ".join(_LEAVE)] = "Leave; so does Ctrl-D."
    width = max(map(len, shown))
    say("\n".join(f"  {name:{width}}  {text}" for name, text in shown.items()))
    say(f"A line that ends with \\ goes on in the next; {QUOTES} begins and ends a text of several lines.")


def _save(talk: Talk, name: str) -> None:
    path = _path("/save", name)
    saved.save(path, talk.conversation)
    say(f"saved {counted(len(talk.conversation.turns), 'turn')} to {path}")


def _load(talk: Talk, name: str) -> None:
    system, turns = saved.read(_path("/load", name))
    talk.conversation.replace(system, turns)
    say(f"loaded {counted(len(turns), 'turn')}")


def _path(command: str, name: str) -> Path:
    if not name:
        raise ValueError(f"{command} needs the name of a file")
    return Path(name).expanduser()


def _system(talk: Talk, text: str) -> None:
    if not text:
        say(talk.conversation.system or "there is no instruction; /system TEXT sets one")
        return
    talk.conversation.instruct(None if text == "none" else text)
    say("the instruction is set" if talk.conversation.system else "the instruction is gone")


def _set(talk: Talk, text: str) -> None:
    name, _, value = text.partition(" ")
    if not name:
        say("\n".join(talk.settings.lines()))
    elif not value.strip():
        raise ValueError(f"/set {name} needs a value")
    else:
        talk.settings.set(name, value.strip())


def _undo(talk: Talk, _rest: str) -> None:
    talk.undo()
    say(f"forgot the last turn; {counted(len(talk.conversation.turns), 'turn')} left")


def _tokens(talk: Talk, _rest: str) -> None:
    length = talk.conversation.model.context_length
    say(f"{counted(talk.conversation.num_tokens, 'token')} of a context of {length:,}")


def _clear(talk: Talk, _rest: str) -> None:
    talk.conversation.turns.clear()
    say("forgotten")


_COMMANDS = {
    "/help": _Command(_help, "Show this list."),
    "/clear": _Command(_clear, "Forget the conversation; the instruction stays."),
    "/retry": _Command(lambda talk, _: talk.retry(), "Answer the last question again."),
    "/undo": _Command(_undo, "Forget the last question and its answer."),
    "/system": _Command(_system, "Set the instruction (none: without); alone: show it.", "[TEXT]"),
    "/set": _Command(_set, "Set an option, such as temperature 0.7; alone: list them.", "[NAME VALUE]"),
    "/tokens": _Command(_tokens, "Show how many tokens the conversation has."),
    "/save": _Command(_save, "Write the conversation to a file.", "FILE"),
    "/load": _Command(_load, "Take the conversation of a file.", "FILE"),
}
