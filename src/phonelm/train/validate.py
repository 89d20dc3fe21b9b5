"""Bits per byte of held-out text, and samples of generated text."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from phonelm.data.batches import Windows
from phonelm.train.config import Sample, TrainConfig
from phonelm.train.loss import sequence_loss

if TYPE_CHECKING:
    from phonelm.train.model import PhoneLMForCausalLM


@contextmanager
def evaluating(model: torch.nn.Module) -> Iterator[None]:
    """Evaluation mode without gradients, and the training mode back afterwards."""
    training = model.training
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        model.train(training)


def validate(
    model: PhoneLMForCausalLM,
    windows: Windows,
    token_bytes: NDArray[np.int64],
    config: TrainConfig,
    dtype: torch.dtype,
) -> tuple[float, float]:
    """Loss in nats per token, and bits per byte, over the first `valid_tokens` held-out tokens.

    Bits per byte is the summed loss in bits, ends of documents included, over the bytes of the text that the
    scored tokens stand for.
    """
    count = min(len(windows), max(1, config.valid_tokens // config.sequence_length))
    batch = config.micro_batch_size or config.batch_size
    nats, tokens, num_bytes = 0.0, 0, 0
    with evaluating(model):
        for start in range(0, count, batch):
            rows = windows.rows(np.arange(start, min(count, start + batch)))
            tokens_in = torch.from_numpy(rows).to(model.device)
            nats += float(sequence_loss(model.model, model.lm_head.weight, tokens_in, dtype))
            tokens += rows[:, 1:].size
            num_bytes += int(token_bytes[rows[:, 1:]].sum())
    return nats / tokens, nats / math.log(2) / max(1, num_bytes)


def write_samples(model: PhoneLMForCausalLM, data_folder: Path, config: TrainConfig) -> list[Sample]:
    """Continue each of the configured prompts at temperature 0.8; the same weights give the same text."""
    from tokenizers import Tokenizer

    if not config.sample_tokens:
        return []
    tokenizer = Tokenizer.from_file(str(data_folder / "tokenizer.json"))
    samples = []
    with evaluating(model), torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        for prompt in config.sample_prompts:
            ids = torch.tensor([tokenizer.encode(prompt).ids], device=model.device)
            new_tokens = min(config.sample_tokens, model.config.max_position_embeddings - ids.shape[1])
            output = model.generate(  # type: ignore[misc]
                ids,
                attention_mask=torch.ones_like(ids),
                max_new_tokens=new_tokens,
                do_sample=True,
                temperature=0.8,
            )
            samples.append(Sample(prompt=prompt, text=tokenizer.decode(output[0, ids.shape[1] :].tolist())))
    return samples
