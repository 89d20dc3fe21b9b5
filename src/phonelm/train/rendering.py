"""Conversations as tokens with weights, rendered with the model's own chat template.

A template is rendered up to each of the assistant's messages, with and without it: what is between is what
the model would write there, and is learnt. The parts are tokenized apart, as they are when the model is used:
the prompt is there before the first token of an answer.
"""

# Parts of transformers carry no types.
# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from phonelm.data.conversations import Conversation


@dataclass(frozen=True)
class Part:
    """A stretch of a rendered conversation; `weight` is that of its tokens in the loss."""

    text: str
    weight: float


class ConversationRenderer:
    """Renders and tokenizes with the tokenizer and template of a Hugging Face folder.

    `call_weight`: of the tokens of messages with tool calls, where others of the assistant's have 1. Raises
    `ValueError` for a folder without a tokenizer or chat template.
    """

    def __init__(self, folder: Path, call_weight: float = 1.0) -> None:
        from transformers import AutoTokenizer

        try:
            self._tokenizer: Any = AutoTokenizer.from_pretrained(folder)
        except (OSError, ValueError) as error:
            reason = str(error).splitlines()[0]
            raise ValueError(f"{folder} has no tokenizer that can be read ({reason})") from error
        if not self._tokenizer.chat_template:
            raise ValueError(f"{folder} has no chat template; give a base model that has one")
        self._call_weight = call_weight
        self._specials = sorted(
            {token.content for token in self._tokenizer.added_tokens_decoder.values() if token.special}
        )

    @property
    def vocab_size(self) -> int:
        """Of the tokenizer, added tokens included."""
        return len(self._tokenizer)

    def has_control_text(self, conversation: Conversation) -> bool:
        """Whether a message holds the text of a control token, which a template would turn into the token."""
        texts = [str(message.get("content") or "") for message in conversation.messages]
        return any(special in text for text in texts for special in self._specials)

    def parts(self, conversation: Conversation) -> list[Part]:
        """The stretches of the conversation, in order.

        Raises `ValueError` for a template that writes earlier turns otherwise once there are later ones.
        """
        parts: list[Part] = []
        done = ""
        for index, message in enumerate(conversation.messages):
            if message["role"] != "assistant":
                continue
            prompt = self._render(conversation, index, add_generation_prompt=True)
            answered = self._render(conversation, index + 1, add_generation_prompt=False)
            if not prompt.startswith(done) or not answered.startswith(prompt):
                raise ValueError(
                    "the chat template writes earlier messages otherwise once there are later ones, so that "
                    "answers cannot be told from prompts; give a base model with another template"
                )
            answer = self._without_gap(answered[len(prompt) :])
            weight = self._call_weight if message.get("tool_calls") else 1.0
            parts += [Part(prompt[len(done) :], 0.0), Part(answer, weight)]
            done = prompt + answer
        return parts

    def encode(self, many: Sequence[Sequence[Part]]) -> list[tuple[list[int], list[float]]]:
        """Token ids and their weights, of each rendered conversation."""
        texts = [part.text for parts in many for part in parts]
        encodings = iter(self._tokenizer(texts, add_special_tokens=False)["input_ids"])
        encoded = []
        for parts in many:
            ids: list[int] = []
            weights: list[float] = []
            for part in parts:
                own = next(encodings)
                ids += own
                weights += [part.weight] * len(own)
            encoded.append((ids, weights))
        return encoded

    def _render(self, conversation: Conversation, count: int, *, add_generation_prompt: bool) -> str:
        rendered: str = self._tokenizer.apply_chat_template(
            list(conversation.messages[:count]),
            tools=list(conversation.tools) or None,
            tokenize=False,
            add_generation_prompt=add_generation_prompt,
        )
        return rendered

    def _without_gap(self, answer: str) -> str:
        """The answer up to the token that ends it: line ends behind it are the template's."""
        bare = answer.rstrip()
        return bare if bare.endswith(tuple(self._specials)) else answer
