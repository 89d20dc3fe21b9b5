"""Bits per byte of held-out text, and samples of generated text."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from phonelm.data.batches import PackedRows, Windows
from phonelm.train.batch import Batch
from phonelm.train.config import Sample, TrainConfig
from phonelm.train.objective import NextToken

if TYPE_CHECKING:
    from transformers import PreTrainedModel


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
    model: PreTrainedModel,
    valid: Windows | PackedRows,
    token_bytes: NDArray[np.int64],
    config: TrainConfig,
    dtype: torch.dtype,
) -> tuple[float, float]:
    """Loss in nats per token, and bits per byte, over the first `valid_tokens` held-out tokens.

    Bits per byte is the summed loss in bits, ends of documents included, over the bytes of the text that the
    scored tokens stand for; each token counts by its weight.
    """
    count = min(len(valid), max(1, config.valid_tokens // config.sequence_length))
    size = config.micro_batch_size or config.batch_size
    nats, weight, num_bytes = 0.0, 0.0, 0.0
    with evaluating(model):
        for start in range(0, count, size):
            rows = valid.batch(np.arange(start, min(count, start + size)))
            batch = Batch.of(rows, model.device)
            nats += float(NextToken().loss(model, batch, dtype))
            weight += batch.total_weight()
            shares = 1.0 if rows.weights is None else rows.weights
            num_bytes += float((token_bytes[rows.targets] * shares).sum())
    return nats / weight, nats / math.log(2) / max(1.0, num_bytes)


def write_samples(
    model: PreTrainedModel, data_folder: Path, config: TrainConfig, *, chat: bool = False
) -> list[Sample]:
    """Continue, or with `chat` answer, each of the configured prompts at temperature 0.8.

    The same weights give the same text.
    """
    from transformers import AutoTokenizer

    if not config.sample_tokens:
        return []
    tokenizer = AutoTokenizer.from_pretrained(data_folder)
    samples = []
    with evaluating(model), torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        for prompt in config.sample_prompts:
            ids = _prompt_ids(tokenizer, prompt, chat).to(model.device)
            new_tokens = min(config.sample_tokens, model.config.max_position_embeddings - ids.shape[1])
            output = model.generate(  # type: ignore[operator]
                ids,
                attention_mask=torch.ones_like(ids),
                max_new_tokens=new_tokens,
                do_sample=True,
                temperature=0.8,
            )
            text = str(tokenizer.decode(output[0, ids.shape[1] :], skip_special_tokens=True))
            samples.append(Sample(prompt=prompt, text=text))
    return samples


def _prompt_ids(tokenizer: Any, prompt: str, chat: bool) -> Tensor:
    if chat:
        messages = [{"role": "user", "content": prompt}]
        prompt = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    ids: Tensor = tokenizer(prompt, return_tensors="pt", add_special_tokens=False)["input_ids"]
    return ids
