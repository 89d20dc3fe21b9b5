"""What a chat template is rendered with, as plain data."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

Message = Mapping[str, Any]
"""`{"role": ..., "content": ...}`, and what else a template reads (`tool_calls`, `name`, ...)."""

RESERVED = ("messages", "tools", "add_generation_prompt")
"""Variables of templates that have a parameter of their own."""


@dataclass(frozen=True)
class ChatInput:
    """The variables of a rendering; lists, dicts, strings and numbers of its own."""

    messages: list[dict[str, Any]]
    tools: list[Any] | None = None
    add_generation_prompt: bool = True
    variables: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        messages: Sequence[Message],
        tools: Sequence[Mapping[str, Any]] | None,
        add_generation_prompt: bool,
        variables: Mapping[str, Any],
    ) -> ChatInput:
        """Copy what was given.

        Raises `ValueError` for no messages, one without role, a reserved variable, and what is no data."""
        _check(messages)
        for name in RESERVED:
            if name in variables:
                raise ValueError(f"{name} is no variable of the chat template to set; give it as {name}=")
        return cls(
            _plain(list(messages), "messages"),
            _plain(list(tools), "tools") if tools else None,
            add_generation_prompt,
            {str(name): _plain(value, str(name)) for name, value in variables.items()},
        )

    def as_variables(self) -> dict[str, Any]:
        """Return the variables by name."""
        own = {name: getattr(self, name) for name in RESERVED}
        return {**self.variables, **own}

    def with_message(self, index: int, message: dict[str, Any]) -> ChatInput:
        """Return the same with another message."""
        messages = [*self.messages[:index], message, *self.messages[index + 1 :]]
        return replace(self, messages=messages)

    def with_texts(self, change: Callable[[str, bool], str]) -> ChatInput:
        """Return the same with every string of others changed.

        `change` is told whether the string is a name: a role, a type or a key, which templates compare and
        make tokens of. Others write messages, tools and `documents`; the other variables are the program's.
        """
        documents = {name: value for name, value in self.variables.items() if name == "documents"}
        return replace(
            self,
            messages=_changed(self.messages, change),
            tools=_changed(self.tools, change),
            variables={**self.variables, **_changed(documents, change)},
        )


Render = Callable[[ChatInput], str]


def merged_variables(given: Mapping[str, Any] | None, keywords: Mapping[str, Any]) -> dict[str, Any]:
    """Return the variables given as one dict and as keywords. Raises `ValueError` for what is no dict."""
    if given is not None and not isinstance(given, Mapping):
        raise ValueError('chat_template_kwargs is no dict; give {"enable_thinking": False}')
    return {**(given or {}), **keywords}


def _check(messages: Sequence[Message]) -> None:
    if not messages:
        raise ValueError('no messages; give at least [{"role": "user", "content": "..."}]')
    for index, message in enumerate(messages):
        if not isinstance(message, Mapping) or not isinstance(message.get("role"), str):
            raise ValueError(
                f'message {index} has no role; each message is {{"role": "user", "content": "..."}}'
            )


def _plain(value: Any, where: str) -> Any:
    """Return a copy made of JSON's types: an object of another could be used to leave the sandbox."""
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, Mapping):
        return {_plain(key, where): _plain(item, where) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item, where) for item in value]
    raise ValueError(
        f"{where} holds a value of type {type(value).__name__}, which a chat template cannot show; "
        "give text, numbers, lists and dicts"
    )


def _changed(value: Any, change: Callable[[str, bool], str], is_name: bool = False) -> Any:
    if isinstance(value, str):
        return change(value, is_name)
    if isinstance(value, dict):
        return {
            _changed(key, change, True): _changed(item, change, key in ("role", "type"))
            for key, item in value.items()
        }
    return [_changed(item, change, is_name) for item in value] if isinstance(value, list) else value
