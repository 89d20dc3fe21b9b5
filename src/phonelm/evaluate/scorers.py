"""What is scored: a model in the runtime, and what any scorer gives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from phonelm.engine.pairs import split_pair
from phonelm.files import file_hash

if TYPE_CHECKING:
    from phonelm.engine import Model


@dataclass(frozen=True)
class Score:
    """Of a continuation: its log-probability in nats, and how many tokens before it had no place."""

    log_probability: float
    greedy: bool
    num_cut: int = 0


class Scorer(Protocol):
    """Anything that tells how likely texts are, and continues them."""

    num_tokens: int
    """Evaluated so far, as if each request came alone."""

    def identity(self) -> dict[str, Any]:
        """What the scores depend on: the file's hash and the settings, one JSON object."""

    def score(self, requests: Sequence[tuple[str, str]]) -> list[Score]:
        """Scores of (context, continuation) pairs; contexts that are too long lose their beginning."""

    def write(self, texts: Sequence[str], stops: Sequence[str], max_tokens: int) -> list[str]:
        """What follows each text by greedy decoding, up to a stop."""


@dataclass(frozen=True)
class ScoredTokens:
    """A pair as tokens, of which the last `num_scored` are scored; `num_cut` had no place before them."""

    tokens: list[int]
    num_scored: int
    num_cut: int

    @classmethod
    def fitted(cls, before: list[int], after: list[int], context_length: int) -> ScoredTokens:
        """The last ones that fit: the very last is only compared with, and needs no place."""
        tokens = [*before, *after][-(context_length + 1) :]
        return cls(tokens, min(len(after), len(tokens) - 1), len(before) + len(after) - len(tokens))


class RuntimeScorer:
    """A model in the runtime: the very file that ships."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._sha256 = ""
        self.num_tokens = 0

    def identity(self) -> dict[str, Any]:
        """The file and how it is run."""
        self._sha256 = self._sha256 or file_hash(self._model.path)
        return {
            "backend": "phonelm",
            "file": self._model.path.name,
            "sha256": self._sha256,
            "kv_type": self._model.kv_type,
            "context_length": self._model.context_length,
        }

    def score(self, requests: Sequence[tuple[str, str]]) -> list[Score]:
        """Scores in one pass; what requests begin with alike is evaluated once."""
        limit = self._model.context_length
        tokenizer = self._model.tokenizer
        fitted = [ScoredTokens.fitted(*split_pair(tokenizer, *request), limit) for request in requests]
        self.num_tokens += sum(len(one.tokens) - 1 for one in fitted)
        scores = self._model.score_tokens([(one.tokens, one.num_scored) for one in fitted])
        return [Score(*score, one.num_cut) for score, one in zip(scores, fitted, strict=True)]

    def write(self, texts: Sequence[str], stops: Sequence[str], max_tokens: int) -> list[str]:
        """Greedy continuations, decoded together; texts that are too long lose their beginning."""
        room = self._model.context_length - max_tokens
        if room < 1:
            raise ValueError(
                f"answers of {max_tokens} tokens do not fit into a context of "
                f"{self._model.context_length}; choose tasks without written answers"
            )
        prompts = [self._model.tokenizer.encode_prompt(text)[-room:] for text in texts]
        self.num_tokens += sum(map(len, prompts))
        answers = self._model.generate_batch(prompts, max_tokens=max_tokens, temperature=0, stop=tuple(stops))
        return [answer.text for answer in answers]
