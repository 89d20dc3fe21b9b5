"""Scores of a model behind an OpenAI-compatible endpoint that gives the prompt's log-probabilities.

It is `/completions` with `echo` and `logprobs`, as vLLM and others answer it.
"""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.request
from collections.abc import Sequence
from typing import Any

from phonelm.evaluate.scorers import Score

_TIMEOUT_S = 600.0
_KEY = "OPENAI_API_KEY"


class EndpointScorer:
    """A model behind `URL#MODEL`; the key is in `OPENAI_API_KEY`."""

    def __init__(self, address: str) -> None:
        url, _, model = address.partition("#")
        if not model:
            raise ValueError(
                f"{address} names no model; give URL#MODEL, as http://localhost:8000/v1#my-model"
            )
        self._url = f"{url.rstrip('/')}/completions"
        self._model = model
        self.num_tokens = 0

    def identity(self) -> dict[str, Any]:
        """The address and the model's name: there is no file to hash."""
        return {"backend": "endpoint", "file": self._model, "url": self._url}

    def score(self, requests: Sequence[tuple[str, str]]) -> list[Score]:
        """Scores of pairs. Raises `ValueError` where the endpoint tells no probabilities of prompts."""
        texts = [context + continuation for context, continuation in requests]
        choices = self._choices(texts, echo=True, logprobs=1, max_tokens=0)
        return [
            self._score(choice, len(context.rstrip()))
            for choice, (context, _) in zip(choices, requests, strict=True)
        ]

    def _score(self, choice: Any, begin: int) -> Score:
        table = choice.get("logprobs") or {}
        if not table.get("token_logprobs") or "text_offset" not in table:
            raise ValueError(
                f"{self._url} gives no log-probabilities of the prompt (echo with logprobs); "
                "score the model's file instead"
            )
        self.num_tokens += len(table["token_logprobs"])
        best = table.get("top_logprobs") or [None] * len(table["token_logprobs"])
        total, greedy = 0.0, True
        rows = zip(table["tokens"], table["text_offset"], table["token_logprobs"], best, strict=True)
        for token, offset, value, tops in rows:
            # A token belongs to the continuation unless it begins before; the first has no probability.
            if offset < begin or value is None:
                continue
            total += value
            greedy = greedy and (not tops or value >= tops.get(token, value) >= max(tops.values()))
        return Score(total, greedy)

    def write(self, texts: Sequence[str], stops: Sequence[str], max_tokens: int) -> list[str]:
        """Greedy continuations."""
        choices = self._choices(texts, max_tokens=max_tokens, stop=list(stops))
        return [str(choice["text"]) for choice in choices]

    def _choices(self, texts: Sequence[str], **options: Any) -> list[Any]:
        body = {"model": self._model, "prompt": list(texts), "temperature": 0, **options}
        headers = {"Content-Type": "application/json"}
        if key := os.environ.get(_KEY):
            headers["Authorization"] = f"Bearer {key}"
        request = urllib.request.Request(self._url, json.dumps(body).encode(), headers)
        try:
            with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer:
                choices = json.loads(answer.read())["choices"]
        except urllib.error.HTTPError as error:
            reason = error.read(500).decode(errors="replace").strip()
            raise ValueError(f"{self._url} answers {error.code}: {reason}") from error
        except (OSError, KeyError, TypeError, ValueError) as error:
            raise ConnectionError(f"{self._url} gives no answer that can be read ({error})") from error
        if not isinstance(choices, list) or len(choices) != len(texts):
            raise ConnectionError(
                f"{self._url} answers {len(texts)} prompts with other than that many choices"
            )
        return sorted(choices, key=lambda choice: choice.get("index", 0))
