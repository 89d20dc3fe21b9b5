"""llama.cpp (PyPI's xllamacpp) as an independent judge of whole files: greedy continuations of token ids."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from phonelm.engine.model import Model

# Straight to this machine, whatever proxies it knows.
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))
CANDIDATES = 20
# What llama.cpp knows as ends by their text.
END_TOKENS = ("<|im_end|>", "<|endoftext|>", "<eos>", "<end_of_turn>")


class LlamaCpp:
    """A model in llama.cpp's server, inside this process."""

    def __init__(self, path: Path, context: int, num_threads: int = 1) -> None:
        import xllamacpp

        params = xllamacpp.CommonParams()
        params.model.path = str(path)
        params.n_ctx = context
        params.n_parallel = 1
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = num_threads
        params.cache_prompt = False
        params.cache_ram_mib = 0
        self._server = xllamacpp.Server(params)

    def greedy(self, prompt: str | Sequence[int], num_tokens: int) -> tuple[list[int], int]:
        """The continuation, and how many tokens the prompt has; a text is tokenized by llama.cpp."""
        done = self._complete(prompt, num_tokens, return_tokens=True)
        return done["tokens"], done["tokens_evaluated"]

    def gap_to(self, prompt: Sequence[int], token: int) -> float:
        """By how many nats a token is less likely after a prompt than the likeliest one."""
        done = self._complete(prompt, 1, n_probs=CANDIDATES)
        (place,) = done["completion_probabilities"]
        scores = {choice["id"]: choice["logprob"] for choice in place["top_logprobs"]}
        return float(max(scores.values()) - scores.get(token, -float("inf")))

    def _complete(self, prompt: str | Sequence[int], num_tokens: int, **more: Any) -> dict[str, Any]:
        request = {
            "prompt": prompt if isinstance(prompt, str) else list(prompt),
            "n_predict": num_tokens,
            "temperature": 0,
            "ignore_eos": True,
            "cache_prompt": False,
            **more,
        }
        address = f"{self._server.listening_address}/completion"
        with _OPENER.open(address, json.dumps(request).encode()) as reply:
            done: dict[str, Any] = json.load(reply)
        return done


def our_greedy(model: Model, prompt: Sequence[int], num_tokens: int, context: int) -> list[int]:
    """The same from this runtime. As there, no token that ends a text or a turn is ever chosen."""
    named = (model.native.tokenizer.encode(text, parse_special=True) for text in END_TOKENS)
    ends = [model.tokenizer.eos_id, *(ids[0] for ids in named if len(ids) == 1)]
    session, tokens = model.native.new_session(context), list(prompt)
    session.prefill(tokens)
    for _ in range(num_tokens):
        logits = session.logits()
        logits[ends] = -np.inf
        tokens.append(int(logits.argmax()))
        session.prefill(tokens[-1:])
    return tokens[len(prompt) :]
