"""The model's tokenizer: text to token ids and back, and conversations to text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from phonelm.engine.chat_input import ChatInput, Message, merged_variables
from phonelm.engine.chat_template import CHATML, DEFAULT, ChatTemplate, template_sources
from phonelm.engine.control_text import ControlTexts, plain_spans, to_bytes
from phonelm.ranges import require_whole
from phonelm.words import counted

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from phonelm import _native


class Tokenizer:
    """Text and token ids of one model."""

    def __init__(self, native: _native.Tokenizer, metadata: Mapping[str, Any]) -> None:
        self._native = native
        self._metadata = metadata
        self._stop_ids = frozenset(native.stop_ids)
        self._breakers: dict[str, list[list[int]]] = {}

    def __repr__(self) -> str:
        return f"<Tokenizer: {counted(self.vocab_size, 'token')}>"

    @property
    def vocab_size(self) -> int:
        """Number of token ids."""
        return self._native.vocab_size

    @property
    def bos_id(self) -> int:
        """Id of the token that begins a text, -1 when there is none."""
        return self._native.bos_id

    @property
    def eos_id(self) -> int:
        """Id of the token that ends a text, -1 when there is none."""
        return self._native.eos_id

    @property
    def stop_ids(self) -> frozenset[int]:
        """Ids at which generation ends: end of text, end of turn."""
        return self._stop_ids

    def encode(self, text: str, parse_special: bool = False) -> list[int]:
        """Return the token ids of `text`; `parse_special` turns the text of a special token into that token.

        No begin-of-text token is added: `encode_prompt` does that for models that want it.
        """
        # Lone surrogates (undecodable bytes of a command line) must not stop a text from being read.
        return self._native.encode(text.encode("utf-8", "surrogatepass"), parse_special)

    def encode_prompt(self, text: str, parse_special: bool = False) -> list[int]:
        """Return the ids of `text` with the begin-of-text token in front where the model was trained so."""
        return self._with_bos(self.encode(text, parse_special))

    def _with_bos(self, ids: list[int]) -> list[int]:
        wanted = self._native.add_bos and self.bos_id >= 0 and ids[:1] != [self.bos_id]
        return [self.bos_id, *ids] if wanted else ids

    def checked_ids(self, ids: Sequence[int] | NDArray[np.integer]) -> list[int]:
        """Return token ids as a list. Raises `ValueError` for a text, for what is none, and out of range."""
        if isinstance(ids, (str, bytes)):
            raise ValueError("this is a text; give its token ids, tokenizer.encode_prompt(text)")
        low, high = 0, self.vocab_size - 1
        return [require_whole("a token id", token, low, high) for token in ids]

    def decode(self, ids: Sequence[int], with_special: bool = False) -> str:
        """Return the text of `ids`; bytes that are not UTF-8 become U+FFFD, special tokens nothing."""
        return self._native.decode(self.checked_ids(ids), with_special).decode("utf-8", "replace")

    def token_bytes(self, token: int, with_special: bool = False) -> bytes:
        """Return the bytes of one token, which may be part of a character."""
        return self._native.token_bytes(require_whole("a token id", token, 0), with_special)

    def breakers(self, text: str) -> list[list[int]]:
        """Return every way in which a text may stand in tokens, to end a repetition for DRY."""
        if text not in self._breakers:
            from phonelm import _native

            self._breakers[text] = _native.dry_breakers(self._native, text.encode("utf-8", "surrogatepass"))
        return self._breakers[text]

    @cached_property
    def grammar_vocabulary(self) -> Any:
        """The tokens as the grammar engine reads them, made when a grammar first needs them."""
        from phonelm.engine.grammar_vocabulary import compile_vocabulary

        return compile_vocabulary(self._native)

    @cached_property
    def chat_template(self) -> ChatTemplate:
        """The model's own templates, else ChatML when the vocabulary has its tokens, else `ValueError`."""
        sources = template_sources(self._metadata)
        if not sources:
            if len(self.encode("<|im_start|>", parse_special=True)) != 1:
                raise ValueError(
                    "this model has no chat template (it was not tuned to chat); "
                    "use generate with a plain prompt"
                )
            sources = {DEFAULT: CHATML}
        return ChatTemplate(sources, self._special_tokens())

    def apply_chat_template(
        self,
        messages: Sequence[Message],
        add_generation_prompt: bool = True,
        tools: Sequence[Mapping[str, Any]] | None = None,
        chat_template_kwargs: Mapping[str, Any] | None = None,
        **variables: Any,
    ) -> str:
        """Return the conversation as the text the model was tuned on.

        The template's own variables, such as `enable_thinking`, are keywords or `chat_template_kwargs`.
        Raises `ValueError` for a model without template, messages it refuses, a variable it has not, and
        tools and messages it would not show.
        """
        return self.chat_template.render(
            messages,
            tools=tools,
            add_generation_prompt=add_generation_prompt,
            chat_template_kwargs=chat_template_kwargs,
            **variables,
        )

    def chat_ids(
        self,
        messages: Sequence[Message],
        tools: Sequence[Mapping[str, Any]] | None = None,
        chat_template_kwargs: Mapping[str, Any] | None = None,
        **variables: Any,
    ) -> list[int]:
        """Return the token ids a conversation is evaluated as: those of the text of `apply_chat_template`.

        The control tokens are the template's alone: their texts in messages, tools and `documents` are text
        like any other. Raises as `apply_chat_template`.
        """
        template = self.chat_template
        chat = ChatInput.of(messages, tools, True, merged_variables(chat_template_kwargs, variables))
        text = template.render_input(chat)
        plain = plain_spans(self._control_texts, chat, text, template.render_unchecked)
        return self._with_bos(
            self._native.encode(text.encode("utf-8", "surrogatepass"), True, to_bytes(text, plain))
        )

    @cached_property
    def _control_texts(self) -> ControlTexts:
        texts = (text.decode("utf-8", "replace") for text in self._native.control_texts)
        return ControlTexts(text for text in texts if text)

    def _special_tokens(self) -> dict[str, str]:
        names = {"bos_token": self.bos_id, "eos_token": self.eos_id}
        for name, key in (("pad_token", "padding"), ("unk_token", "unknown")):
            names[name] = int(self._metadata.get(f"tokenizer.ggml.{key}_token_id", -1))
        return {
            name: self.token_bytes(token, with_special=True).decode("utf-8", "replace")
            for name, token in names.items()
            if 0 <= token < self.vocab_size
        }
