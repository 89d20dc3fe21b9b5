"""Conversations with roles, tools and calls, as chat templates take them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from phonelm.data.files import read_rows
from phonelm.data.sources import hub_rows, source_files

ROLES = ("system", "user", "assistant", "tool")
_AFTER = {
    "": ("system", "user"),
    "system": ("user",),
    "user": ("assistant",),
    "assistant": ("user", "tool"),
    "tool": ("tool", "assistant"),
}
"""Which roles may follow which; tools answer calls only, see `_check_turn`."""


@dataclass(frozen=True)
class Conversation:
    """Messages in order, the last one the assistant's, and the tools that were offered.

    A message is a mapping with `role` and `content`, and where there are any `tool_calls`, as in OpenAI's
    interface; `tools` are function schemas of the same.
    """

    messages: tuple[Mapping[str, Any], ...]
    tools: tuple[Mapping[str, Any], ...] = ()


def conversation_of(row: Any, place: str) -> Conversation:
    """Return the conversation of a row: its `messages`, and `tools` where it has some.

    What follows the assistant's last message is left out: nothing is learnt from it. Raises `ValueError`
    naming `place` for a row without messages, of roles out of order, or without a message of the assistant's.
    """
    messages = row.get("messages") if isinstance(row, Mapping) else None
    if not isinstance(messages, Sequence) or isinstance(messages, str) or not messages:
        raise ValueError(f'{place} has no "messages"; give each row a list of role and content')
    before = ""
    for number, message in enumerate(messages, 1):
        _check_message(message, f"{place} message {number}")
        _check_turn(message, messages[number - 2] if before else None, before, f"{place} message {number}")
        before = message["role"]
    turns = [index for index, message in enumerate(messages) if message["role"] == "assistant"]
    if not turns:
        raise ValueError(f"{place} has no message of the assistant's to learn from; give it an answer")
    tools = row.get("tools") or ()
    if not isinstance(tools, Sequence) or not all(isinstance(tool, Mapping) for tool in tools):
        raise ValueError(
            f'{place} has "tools" that are no list of functions; give schemas, or leave them out'
        )
    return Conversation(tuple(map(dict, messages[: turns[-1] + 1])), tuple(map(dict, tools)))


def _check_message(message: Any, place: str) -> None:
    if not isinstance(message, Mapping) or message.get("role") not in ROLES:
        raise ValueError(f"{place} has no role of {', '.join(ROLES)}; correct it")
    content, calls = message.get("content"), message.get("tool_calls")
    if not isinstance(content, str) and not (content is None and calls):
        raise ValueError(f"{place} has no text as its content; give it some")
    if calls is not None and not (
        isinstance(calls, list) and all(isinstance(call, Mapping) for call in calls)
    ):
        raise ValueError(f"{place} has tool_calls that are no list of calls; correct them")


def _check_turn(message: Mapping[str, Any], last: Mapping[str, Any] | None, before: str, place: str) -> None:
    role = message["role"]
    if role not in _AFTER[before]:
        order = f"after {before}" if before else "at the beginning"
        raise ValueError(f"{place} is of the role {role} {order}; put {' or '.join(_AFTER[before])} there")
    if role == "tool" and before == "assistant" and not (last and last.get("tool_calls")):
        raise ValueError(f"{place} answers a call that the assistant did not make; give it tool_calls")


def conversations(source: str) -> Iterator[Conversation]:
    """Yield the conversations of a file or folder of JSON lines or parquet, or of `hf:NAME`.

    Raises `ValueError` naming the source and row that cannot be read.
    """
    for row, place in _rows(source):
        yield conversation_of(row, place)


def _rows(source: str) -> Iterator[tuple[Any, str]]:
    if source.startswith("hf:"):
        yield from hub_rows(source)
        return
    for path in source_files(source):
        yield from read_rows(path, ("messages", "tools"))
