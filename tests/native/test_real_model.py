"""SmolLM2-135M-Instruct (Q4_1) in the runtime against transformers in float32 with the same weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from phonelm import _native
from phonelm.evaluate import kl_divergence

pytestmark = pytest.mark.slow

# Ours, so that the test needs no corpus: plain English of the kinds such a model reads.
STOP_ID = 2
PROMPTS = [
    "The capital of France is",
    "Water boils at a temperature of",
    "Once upon a time, in a small village by the sea, there lived",
    "The three most important things to know about photosynthesis are",
    "In 1969, the first humans landed on the Moon. The mission was called",
    "A good recipe for pancakes needs flour, eggs,",
    "The theory of evolution by natural selection was proposed by",
    "To reverse a list in Python, you can use",
    "The human heart has four chambers:",
    "Shakespeare wrote many plays, among them",
]


@pytest.fixture(scope="module")
def reference(smollm2_gguf: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("smollm2")
    (folder / "model.gguf").symlink_to(smollm2_gguf.resolve())
    model = transformers.AutoModelForCausalLM.from_pretrained(
        folder, gguf_file="model.gguf", dtype=torch.float32
    )
    return model.eval()


@pytest.fixture(scope="module")
def model(smollm2_gguf: Path) -> Any:
    return _native.Model.load(str(smollm2_gguf))


def english_tokens(model: Any, count: int) -> list[int]:
    """English prose that every Python brings along: the documentation of its own language and modules."""
    from pydoc_data.topics import topics

    text = "\n\n".join(topics[name] for name in sorted(topics, key=lambda name: -len(topics[name])))
    tokens: list[int] = model.tokenizer.encode(text[: 12 * count])
    return tokens[:count]


def test_logits_of_2000_tokens(reference: Any, model: Any) -> None:
    tokens = english_tokens(model, 2000)
    assert len(tokens) == 2000
    divergences, agreements = [], []
    for begin in range(0, 2000, 500):
        chunk = tokens[begin : begin + 500]
        with torch.no_grad():
            expected = reference(torch.tensor([chunk])).logits[0].numpy()
        logits = model.new_session(512).prefill_logits(chunk)
        divergences.append(kl_divergence(expected, logits))
        agreements.append(np.mean(expected.argmax(axis=1) == logits.argmax(axis=1)))
    # int8 activations with one scale for 32 values give 0.0027; the second term for outliers, 0.0004.
    assert np.mean(divergences) < 0.001
    assert np.mean(agreements) > 0.97


def test_same_greedy_text(reference: Any, model: Any) -> None:
    num_equal = 0
    for prompt in PROMPTS:
        ids = model.tokenizer.encode(prompt)
        with torch.no_grad():
            output = reference.generate(
                torch.tensor([ids]), max_new_tokens=16, do_sample=False, pad_token_id=0, eos_token_id=STOP_ID
            )
        expected = output[0, len(ids) :].tolist()
        session = model.new_session(256)
        session.prefill(ids)
        sampler = _native.Sampler()
        first = session.sample(sampler)
        text = [first, *session.decode(first, sampler, 15)]
        num_equal += text[: len(expected)] == expected
    assert num_equal >= 9
