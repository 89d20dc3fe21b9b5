"""Learning from the probabilities of a larger model (distillation, arXiv 1503.02531)."""

# Parts of transformers carry no types.
# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from transformers import AutoTokenizer

from phonelm.train.device import autocast
from phonelm.train.loss import loss_by_chunks, shares_of
from phonelm.train.objective import hidden_states
from phonelm.train.packed_attention import attend_within_documents
from phonelm.train.start import identity, make_model

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from phonelm.train.batch import Batch


class Distillation:
    """Cross entropy against the text and, for a `teacher_share` of it, against a teacher's probabilities.

    `teacher` is a Hugging Face folder of the same vocabulary. The teacher runs beside the model: nothing is
    stored, and neither's logits are whole in memory.
    """

    def __init__(self, teacher: Path, teacher_share: float) -> None:
        self._folder, self._share = teacher, teacher_share
        self._teacher: PreTrainedModel | None = None

    def identity(self) -> Any:
        """What decides the loss, one JSON-able value."""
        return ["distillation", identity(self._folder), self._share]

    def prepare(self, model: PreTrainedModel, data_folder: Path, packed: bool) -> None:
        """Load the teacher to where the model is. Raises `ValueError` where their tokens differ."""
        teacher = make_model(self._folder).to(model.device).eval().requires_grad_(False)  # type: ignore[arg-type]
        own, others = (AutoTokenizer.from_pretrained(folder) for folder in (data_folder, self._folder))
        if own.get_vocab() != others.get_vocab() or model.config.vocab_size != teacher.config.vocab_size:
            raise ValueError(f"the teacher {self._folder} has other tokens; take one of the same vocabulary")
        if packed:
            attend_within_documents(teacher)
        self._teacher = teacher

    def loss(self, model: PreTrainedModel, batch: Batch, dtype: torch.dtype) -> Tensor:
        """Sum over the batch's weights, a differentiable float32 scalar; products run in `dtype`."""
        assert self._teacher is not None, "prepared"
        with autocast(batch.tokens.device, dtype):
            with torch.no_grad():
                taught = hidden_states(self._teacher, batch)
            hidden = hidden_states(model, batch)
            heads = [one.get_output_embeddings().weight for one in (model, self._teacher)]
            shares = None if batch.weights is None else batch.weights.flatten()
            return distilled_head_loss(
                hidden, heads[0], taught, heads[1], batch.targets.flatten(), self._share, dtype, shares
            )


def distilled_head_loss(
    hidden: Tensor,
    weight: Tensor,
    taught: Tensor,
    teacher_weight: Tensor,
    targets: Tensor,
    teacher_share: float,
    dtype: torch.dtype = torch.float32,
    shares: Tensor | None = None,
) -> Tensor:
    """Summed cross entropy in nats of a head against a mixture of targets; a float32 scalar.

    The mixture is `teacher_share` of `softmax(taught @ teacher_weight.T)` and the rest of the token of
    `targets` [tokens]. `hidden` [tokens, size] and `weight` [vocab, size] are the model's, `taught` and
    `teacher_weight` the teacher's, whose size may be another. -100 is not counted; `shares` [tokens] is what
    each target counts. The part of the teacher is less its entropy, so that the least loss of it is 0.
    """
    counted = shares_of(targets, shares)
    low_taught, low_teacher = taught.to(dtype), teacher_weight.to(dtype)

    def chunk_loss(chunk: slice, logits: Tensor, with_grad: bool) -> tuple[Tensor, Tensor]:
        log_q = logits.float().log_softmax(-1)
        log_p = (low_taught[chunk] @ low_teacher.T).float().log_softmax(-1)
        index = targets[chunk].clamp_min(0)[:, None]
        own = -log_q.gather(1, index)[:, 0]
        of_teacher = (log_p.exp() * (log_p - log_q)).sum(-1)
        mixed = teacher_share * of_teacher + (1.0 - teacher_share) * own
        loss = (mixed * counted[chunk]).sum()
        if not with_grad:
            return loss, logits
        gradient = log_q.exp_().sub_(log_p.exp_(), alpha=teacher_share)
        gradient.scatter_add_(1, index, gradient.new_full(index.shape, teacher_share - 1.0))
        gradient *= counted[chunk][:, None]
        return loss, gradient.to(logits.dtype)

    return loss_by_chunks(hidden, weight, chunk_loss, dtype)
