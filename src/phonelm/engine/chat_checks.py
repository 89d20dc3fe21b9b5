"""Refuses conversations of which a chat template would leave something out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from phonelm.engine.chat_input import ChatInput, Render

_FIRST_MARK = 0xF0000
"""Private characters (Unicode, section 23.5), which no template looks for."""


def refuse_ignored_tools(chat: ChatInput, text: str, render: Render) -> None:
    """Raise `ValueError` where the text is the same without the tools."""
    if not chat.tools:
        return
    try:
        without = render(replace(chat, tools=None))
    except ValueError:  # what needs tools shows them
        return
    if text == without:
        raise ValueError(
            "this model's chat template ignores tools, so the model would not see them; "
            "leave tools out or take a model made for function calls"
        )


def refuse_unseen_messages(chat: ChatInput, text: str, render: Render) -> None:
    """Raise `ValueError` where a message, or a part of one, may be another without a change of the text.

    One more rendering finds what is shown: each part has a mark at its end. Where a mark is missing, the part
    is replaced, since a template may cut it, or show it in another form.
    """
    parts = [part for index in range(len(chat.messages)) for part in _parts(index, chat.messages[index])]
    marks = {part: chr(_FIRST_MARK + index) for index, part in enumerate(parts)}
    marked = chat
    for part, mark in marks.items():
        marked = part.marked(marked, mark)
    try:
        shown = render(marked)
    except ValueError:
        shown = ""
    for part, mark in marks.items():
        if mark not in shown and _is_unseen(part, mark, chat, text, render):
            raise ValueError(
                f"this model's chat template does not show {part}, so the model would not see it; "
                "put its text into a message that is shown, or take another model"
            )


def _is_unseen(part: _Part, mark: str, chat: ChatInput, text: str, render: Render) -> bool:
    try:
        return render(part.replaced(chat, mark)) == text
    except ValueError:  # the template has looked at it
        return False


@dataclass(frozen=True)
class _Part:
    """The content of a message, a part of it, or its tool calls."""

    index: int
    role: str
    key: str
    place: int | None = None

    def __str__(self) -> str:
        message = f"message {self.index} (role {self.role[:40]!r})"
        if self.key == "tool_calls":
            return f"the tool calls of {message}"
        return message if self.place is None else f"part {self.place} of {message}"

    def marked(self, chat: ChatInput, mark: str) -> ChatInput:
        """Return the conversation with a mark behind the part's text."""
        return self._changed(chat, lambda value: _with_text(value, lambda text: text + mark))

    def replaced(self, chat: ChatInput, mark: str) -> ChatInput:
        """Return the conversation with a mark in the part's place, or without the part if it has no text."""
        if self.key == "tool_calls":
            return self._changed(chat, lambda calls: [])
        return self._changed(chat, lambda value: _with_text(value, lambda text: mark))

    def _changed(self, chat: ChatInput, change: Callable[[Any], Any]) -> ChatInput:
        message = chat.messages[self.index]
        value = message[self.key]
        if self.place is None:
            value = change(value)
        else:
            value = [*value[: self.place], change(value[self.place]), *value[self.place + 1 :]]
        return chat.with_message(self.index, {**message, self.key: value})


def _with_text(value: Any, change: Callable[[str], str]) -> Any:
    """Return a content, a part of one or tool calls with another text or other names; media become a text."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, list):
        return [_with_text(item, change) for item in value]
    if not isinstance(value, dict):
        return value
    for key in ("text", "name"):
        if isinstance(value.get(key), str):
            return {**value, key: change(value[key])}
    return {**value, "function": _with_text(value["function"], change)} if "function" in value else value


def _parts(index: int, message: dict[str, Any]) -> Iterator[_Part]:
    content = message.get("content")
    if isinstance(content, list):
        places: list[int | None] = [place for place, part in enumerate(content) if not _is_blank(part)]
    else:
        places = [None] if content and not _is_blank(content) else []
    for place in places:
        yield _Part(index, message["role"], "content", place)
    if message.get("tool_calls"):
        yield _Part(index, message["role"], "tool_calls")


def _is_blank(part: Any) -> bool:
    text = part.get("text") if isinstance(part, dict) else part
    return isinstance(text, str) and not text.strip()
