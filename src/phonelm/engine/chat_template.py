"""Chat templates: the Jinja programs that models carry, run in a sandbox as transformers runs them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from phonelm.engine.chat_input import RESERVED, ChatInput, Message, merged_variables

if TYPE_CHECKING:
    from jinja2 import Template

__all__ = ["CHATML", "ChatTemplate", "Message"]

CHATML = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
"""The layout of many chat models, for one that has its tokens in the vocabulary but carries no template."""

DEFAULT, TOOL_USE, RAG = "default", "tool_use", "rag"
_KEY = "tokenizer.chat_template"
_LONGEST_SOURCE = 2**18
_LONGEST_REASON = 300


class ChatTemplate:
    """A compiled template with the special tokens it may print (`bos_token`, `eos_token`, ...).

    `source` may be several templates by name: "tool_use" is taken where there are tools, "rag" where there
    are `documents`, else "default". Raises `ValueError` for a source that is not a template.
    """

    def __init__(
        self, source: str | Mapping[str, str], special_tokens: Mapping[str, str] | None = None
    ) -> None:
        sources = {DEFAULT: source} if isinstance(source, str) else dict(source)
        self.source = sources.get(DEFAULT, "")
        self._special_tokens = dict(special_tokens or {})
        self._sources = sources
        self._templates: dict[str, Template] = {}
        self._compiled(DEFAULT if DEFAULT in sources else next(iter(sources)))

    @cached_property
    def variables(self) -> set[str]:
        """Return the names that the templates read, beside messages, tools and special tokens."""
        from phonelm.engine.template_environment import names_read

        names: set[str] = set()
        for source in self._sources.values():
            with suppress(Exception):  # one that does not parse is refused when it is used
                names |= names_read(source)
        return names - {*RESERVED, *self._special_tokens}

    def render(
        self,
        messages: Sequence[Message],
        *,
        tools: Sequence[Mapping[str, Any]] | None = None,
        add_generation_prompt: bool = True,
        chat_template_kwargs: Mapping[str, Any] | None = None,
        **variables: Any,
    ) -> str:
        """Return the conversation as the text the model was trained on.

        The template's own variables, such as `enable_thinking`, are keywords or `chat_template_kwargs`.
        Raises `ValueError` for no messages, messages the template refuses, a variable it has not, and tools
        and messages it would not show.
        """
        variables = merged_variables(chat_template_kwargs, variables)
        return self.render_input(ChatInput.of(messages, tools, add_generation_prompt, variables))

    def render_input(self, chat: ChatInput) -> str:
        """Return the text of a conversation. Raises `ValueError` as `render` does."""
        from phonelm.engine.chat_checks import refuse_ignored_tools, refuse_unseen_messages

        self._refuse_unknown_variables(chat.variables)
        text = self.render_unchecked(chat)
        refuse_ignored_tools(chat, text, self.render_unchecked)
        refuse_unseen_messages(chat, text, self.render_unchecked)
        return text

    def render_unchecked(self, chat: ChatInput) -> str:
        """Return the text of a conversation, whatever the template leaves out of it."""
        from phonelm.engine.template_meter import OutOfSteps

        try:
            return self._render(chat)
        except Exception as error:  # a template is a program, and may fail in any way
            if chat.tools is None and not isinstance(error, OutOfSteps):
                # Some go through the tools without asking whether there are any.
                with suppress(Exception):
                    return self._render(replace(chat, tools=[]))
            raise ValueError(
                f"the model's chat template cannot show these messages ({_reason(error)}); {_advice(error)}"
            ) from error

    def _render(self, chat: ChatInput) -> str:
        from phonelm.engine.template_environment import render

        return render(self._chosen(chat), {**self._special_tokens, **chat.as_variables()})

    def _chosen(self, chat: ChatInput) -> Template:
        wanted = [TOOL_USE] if chat.tools else []
        wanted += [RAG] if chat.variables.get("documents") else []
        for name in (*wanted, DEFAULT):
            if name in self._sources:
                return self._compiled(name)
        raise ValueError(f"it is one for {', '.join(self._sources)} only")

    def _compiled(self, name: str) -> Template:
        if name not in self._templates:
            self._templates[name] = _compile(self._sources[name])
        return self._templates[name]

    def _refuse_unknown_variables(self, given: Mapping[str, Any]) -> None:
        unknown = set(given) - self.variables - set(self._special_tokens) if given else set()
        if unknown:
            known = ", ".join(sorted(self.variables)) or "none"
            raise ValueError(
                f"this model's chat template has no variable {', '.join(sorted(unknown))}; it has: {known}"
            )


def template_sources(metadata: Mapping[str, Any]) -> dict[str, str]:
    """Return the chat templates of a GGUF file by name."""
    named = {
        key.removeprefix(f"{_KEY}."): str(source)
        for key, source in metadata.items()
        if key.startswith(f"{_KEY}.")
    }
    return {**named, DEFAULT: str(metadata[_KEY])} if _KEY in metadata else named


def _compile(source: str) -> Template:
    # Only a chat needs it: a text that is continued starts without it.
    from phonelm.engine.template_environment import new_environment

    try:
        if len(source) > _LONGEST_SOURCE:
            raise ValueError(f"it has {len(source):,} characters, of {_LONGEST_SOURCE:,} at most")
        return new_environment().from_string(source)
    except Exception as error:  # Jinja writes Python, whose compiler may fail in any way
        raise ValueError(
            f"the model's chat template (tokenizer.chat_template) does not parse ({_reason(error)}); "
            "use generate with a plain prompt, or quantize the model again with a corrected one"
        ) from error


def _reason(error: Exception) -> str:
    # A template may raise with anything, a list of lists of lists too.
    message = error.args[0] if error.args and isinstance(error.args[0], str) else type(error).__name__
    line = " ".join(message[: 4 * _LONGEST_REASON].split())
    return line if len(line) <= _LONGEST_REASON else line[:_LONGEST_REASON] + "..."


def _advice(error: Exception) -> str:
    from phonelm.engine.template_meter import OutOfSteps

    if isinstance(error, OutOfSteps):
        return "use generate with a plain prompt, or quantize the model again with another template"
    return "check the roles, their order and that every content is text"
