"""Scores of a Hugging Face folder by torch and transformers, for architectures the runtime has not."""

# Parts of transformers carry no types.
# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from phonelm.engine.pairs import split_pair
from phonelm.evaluate.scorers import Score, ScoredTokens
from phonelm.files import file_hash

_TOKENS_AT_ONCE = 4096


class _Encoder:
    """transformers' tokenizer as `split_pair` takes one."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer

    @property
    def bos_id(self) -> int:
        token = self._tokenizer.bos_token_id
        return -1 if token is None else int(token)

    @property
    def eos_id(self) -> int:
        token = self._tokenizer.eos_token_id
        return -1 if token is None else int(token)

    def encode(self, text: str) -> list[int]:
        return list(self._tokenizer(text, add_special_tokens=False)["input_ids"])

    def encode_prompt(self, text: str) -> list[int]:
        return list(self._tokenizer(text)["input_ids"])


def _context(own: int, wanted: int | None) -> int:
    """The context to score in, in tokens. Raises `ValueError` for one that the model does not have."""
    if wanted is not None and not 2 <= wanted <= own:
        raise ValueError(f"context {wanted} is not 2 to {own}, the model's; give one of these")
    return wanted or own


class TorchScorer:
    """A causal model of transformers in float32 on the CPU, batches sorted by length.

    `num_threads`: of torch; `context_length`: tokens, at most the model's. None for their defaults.
    """

    def __init__(
        self, folder: Path, num_threads: int | None = None, context_length: int | None = None
    ) -> None:
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer
        from transformers.utils import logging

        import phonelm.hf  # noqa: F401  registers our own model type

        logging.disable_progress_bar()
        self._torch = torch
        self._folder = folder
        self._tokenizer = AutoTokenizer.from_pretrained(folder)
        self._pair_tokenizer = _Encoder(self._tokenizer)
        self._model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
        self._limit = _context(
            int(getattr(self._model.config, "max_position_embeddings", 2048)), context_length
        )
        if num_threads is not None:
            if num_threads < 1:
                raise ValueError(f"threads is {num_threads}; give 1 or more")
            torch.set_num_threads(num_threads)
        self.num_tokens = 0

    def identity(self) -> dict[str, Any]:
        """The weights' files and how they are run."""
        weights = sorted([*self._folder.glob("*.safetensors"), *self._folder.glob("*.bin")])
        return {
            "backend": "torch",
            "file": self._folder.name,
            "sha256": " ".join(file_hash(path) for path in weights),
            "context_length": self._limit,
        }

    def score(self, requests: Sequence[tuple[str, str]]) -> list[Score]:
        """Scores of pairs, the longest first, as many together as a batch's tokens allow."""
        pairs = [
            ScoredTokens.fitted(*split_pair(self._pair_tokenizer, *request), self._limit)
            for request in requests
        ]
        order = sorted(range(len(pairs)), key=lambda index: -len(pairs[index].tokens))
        scores: list[Score | None] = [None] * len(pairs)
        while order:
            count = max(1, _TOKENS_AT_ONCE // len(pairs[order[0]].tokens))
            batch, order = order[:count], order[count:]
            for index, score in zip(batch, self._score_batch([pairs[i] for i in batch]), strict=True):
                scores[index] = score
        return [score for score in scores if score is not None]

    def _score_batch(self, batch: Sequence[ScoredTokens]) -> list[Score]:
        torch = self._torch
        longest = max(len(pair.tokens) for pair in batch) - 1
        # Padding on the right: no earlier token sees it.
        padded = [pair.tokens[:-1] + [0] * (longest - len(pair.tokens) + 1) for pair in batch]
        self.num_tokens += sum(len(pair.tokens) - 1 for pair in batch)
        scores = []
        with torch.inference_mode():
            logits = self._model(torch.tensor(padded)).logits
            for row, pair in zip(logits, batch, strict=True):
                end = len(pair.tokens) - 1
                rows = row[end - pair.num_scored : end].float().log_softmax(-1)
                wanted = torch.tensor(pair.tokens[-pair.num_scored :])
                greedy = bool((rows.argmax(-1) == wanted).all())
                total = float(rows.gather(1, wanted[:, None]).sum())
                scores.append(Score(total, greedy, pair.num_cut))
        return scores

    def write(self, texts: Sequence[str], stops: Sequence[str], max_tokens: int) -> list[str]:
        """Greedy continuations, one after the other."""
        answers = []
        for text in texts:
            ids = self._tokenizer(text, return_tensors="pt")["input_ids"][:, -(self._limit - max_tokens) :]
            self.num_tokens += ids.shape[1]
            made = self._model.generate(ids, max_new_tokens=max_tokens, do_sample=False)
            answer = str(self._tokenizer.decode(made[0, ids.shape[1] :], skip_special_tokens=True))
            for stop in stops:
                answer = answer.split(stop)[0]
            answers.append(answer)
        return answers
