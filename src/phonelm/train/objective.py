"""What a stage minimizes."""

# Parts of transformers carry no types.
# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor
from transformers import PreTrainedModel

from phonelm.train.batch import Batch
from phonelm.train.device import autocast
from phonelm.train.loss import head_loss


class Objective(Protocol):
    """A loss of a model on a batch."""

    def identity(self) -> Any:
        """What decides it, one JSON-able value; None for the usual one."""

    def prepare(self, model: PreTrainedModel, data_folder: Path, packed: bool) -> None:
        """Get ready for a model and the data it learns from, whose rows are `packed` or not."""

    def loss(self, model: PreTrainedModel, batch: Batch, dtype: torch.dtype) -> Tensor:
        """Sum over the batch's weights, a differentiable float32 scalar; products run in `dtype`."""


class NextToken:
    """Cross entropy in nats of each target, times its weight: pre-training, and conversations."""

    def identity(self) -> Any:
        """There is nothing to choose."""
        return None

    def prepare(self, model: PreTrainedModel, data_folder: Path, packed: bool) -> None:
        """There is nothing to get."""

    def loss(self, model: PreTrainedModel, batch: Batch, dtype: torch.dtype) -> Tensor:
        """Summed over the batch; the logits of a whole batch are never in memory."""
        with autocast(batch.tokens.device, dtype):
            hidden = hidden_states(model, batch)
            weights = None if batch.weights is None else batch.weights.flatten()
            head = model.get_output_embeddings().weight
            return head_loss(hidden, head, batch.targets.flatten(), dtype, weights)


def hidden_states(model: PreTrainedModel, batch: Batch) -> Tensor:
    """What the model's own decoder makes of a batch, [tokens, hidden size]."""
    documents = batch.documents()
    given = {} if documents is None else {"documents": documents, "position_ids": batch.positions}
    hidden: Tensor = model.get_decoder()(input_ids=batch.tokens, use_cache=False, **given).last_hidden_state
    return hidden.flatten(0, 1)
