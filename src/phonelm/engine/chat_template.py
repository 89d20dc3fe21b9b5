"""Chat templates: the Jinja programs that models carry, run in a sandbox as transformers runs them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

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
        # Only a chat needs it: a text that is continued starts without it.
        from phonelm.engine.template_environment import TemplateError, new_environment

        self.source = source
        self._special_tokens = dict(special_tokens or {})
        try:
            self._template = new_environment().from_string(source)
        except (TemplateError, RecursionError) as error:
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
