"""Chat templates: the Jinja programs that models carry, run in a sandbox as transformers runs them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NoReturn

import jinja2
from jinja2.ext import Extension, loopcontrols
from jinja2.nodes import CallBlock, Node
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

CHATML = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
"""The layout of many chat models, for one that has its tokens in the vocabulary but carries no template."""

Message = Mapping[str, Any]
"""`{"role": ..., "content": ...}`, and what else a template reads (`tool_calls`, `name`, ...)."""


class ChatTemplate:
    """A compiled template with the special tokens it may print (`bos_token`, `eos_token`, ...).

    Raises `ValueError` for a source that is not a template.
    """

    def __init__(self, source: str, special_tokens: Mapping[str, str] | None = None) -> None:
        self.source = source
        self._special_tokens = dict(special_tokens or {})
        try:
            self._template = _environment().from_string(source)
        except (jinja2.TemplateError, RecursionError) as error:
            raise ValueError(
                f"the model's chat template (tokenizer.chat_template) does not parse ({error}); "
                "use generate with a plain prompt, or quantize the model again with a corrected one"
            ) from error

    def render(
        self,
        messages: Sequence[Message],
        *,
        tools: Sequence[Mapping[str, Any]] | None = None,
        add_generation_prompt: bool = True,
    ) -> str:
        """Return the conversation as the text the model was trained on.

        Raises `ValueError` for no messages, messages the template refuses, and tools it would not show.
        """
        _check(messages)
        text = self._render(messages, tools, add_generation_prompt)
        if tools and text == self._render(messages, None, add_generation_prompt):
            raise ValueError(
                "this model's chat template ignores tools, so the model would not see them; "
                "leave tools out or take a model made for function calls"
            )
        return text

    def _render(
        self,
        messages: Sequence[Message],
        tools: Sequence[Mapping[str, Any]] | None,
        add_generation_prompt: bool,
    ) -> str:
        try:
            return self._template.render(
                messages=[dict(message) for message in messages],
                tools=[dict(tool) for tool in tools] if tools else None,
                add_generation_prompt=add_generation_prompt,
                **self._special_tokens,
            )
        except Exception as error:  # a template is a program, and may fail in any way
            raise ValueError(
                f"the model's chat template cannot show these messages ({error}); "
                "check the roles, their order and that every content is text"
            ) from error


def _check(messages: Sequence[Message]) -> None:
    if not messages:
        raise ValueError('no messages; give at least [{"role": "user", "content": "..."}]')
    for index, message in enumerate(messages):
        if not isinstance(message, Mapping) or not isinstance(message.get("role"), str):
            raise ValueError(
                f'message {index} has no role; each message is {{"role": "user", "content": "..."}}'
            )


class _GenerationBlock(Extension):
    """`{% generation %}` marks the assistant's tokens for training; for inference it prints its body."""

    tags = {"generation"}  # noqa: RUF012  (the name and kind jinja2 prescribes)

    def parse(self, parser: Parser) -> Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return CallBlock(self.call_method("_body"), [], [], body).set_lineno(line)

    def _body(self, caller: Any) -> str:
        return str(caller())


def _environment() -> ImmutableSandboxedEnvironment:
    """Environment of transformers' `apply_chat_template`: the dialect templates on the hub are written in."""
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_GenerationBlock, loopcontrols]
    )
    environment.filters["tojson"] = _to_json
    environment.globals["raise_exception"] = _raise_exception
    environment.globals["strftime_now"] = lambda format: datetime.now().strftime(format)
    return environment


def _to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    # Jinja's own filter escapes HTML, which no model was trained on.
    return json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )


def _raise_exception(message: str) -> NoReturn:
    raise jinja2.TemplateError(message)
