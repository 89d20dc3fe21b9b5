"""What a stage minimizes."""

# Parts of transformers carry no types.
# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor
from transformers import PreTrainedModel

from phonelm.train.batch import Batch
from phonelm.train.device import autocast
from phonelm.train.loss import head_loss


class Objective(Protocol):
    """A loss of a model on a batch."""

    def loss(self, model: PreTrainedModel, batch: Batch, dtype: torch.dtype) -> Tensor:
        """Sum over the batch's weights, a differentiable float32 scalar; products run in `dtype`."""


class NextToken:
    """Cross entropy in nats of each target, times its weight: pre-training, and conversations."""

    def loss(self, model: PreTrainedModel, batch: Batch, dtype: torch.dtype) -> Tensor:
        """Summed over the batch; the logits of a whole batch are never in memory."""
        documents = batch.documents()
        given = {} if documents is None else {"documents": documents, "position_ids": batch.positions}
        with autocast(batch.tokens.device, dtype):
            hidden = model.get_decoder()(input_ids=batch.tokens, use_cache=False, **given).last_hidden_state
            weights = None if batch.weights is None else batch.weights.flatten()
            head = model.get_output_embeddings().weight
            return head_loss(hidden.flatten(0, 1), head, batch.targets.flatten(), dtype, weights)
