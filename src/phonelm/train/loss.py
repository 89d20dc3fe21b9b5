"""Cross entropy of an output head in chunks, so that the logits of a whole batch never lie in memory."""

# torch's autograd functions carry no types.
# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

CHUNK_LOGITS = {"cpu": 2**21}
"""Logits held at a time by kind of device: on a CPU 8 MiB in float32, about a core's share of cache."""
CHUNK_LOGITS_ELSEWHERE = 2**28
MIN_ROWS = 256
"""At a time however large the vocabulary: each chunk passes once through the head's gradient in memory."""
IGNORED = -100


ChunkLoss = Callable[[slice, Tensor, bool], tuple[Tensor, Tensor]]
"""Of a chunk of tokens and its logits [rows, vocab]: the summed loss and, if asked for, its gradient with
respect to the logits, in their type. The logits may be written over."""


class _HeadLoss(torch.autograd.Function):
    """Computes the gradients of head and hidden states along with the loss, chunk by chunk."""

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, chunk_loss: ChunkLoss, dtype: torch.dtype
    ) -> Tensor:
        low_hidden, low_weight = hidden.to(dtype), weight.to(dtype)
        keep = [hidden.requires_grad, weight.requires_grad]
        grad_hidden = torch.empty_like(low_hidden) if keep[0] else None
        grad_weight = torch.zeros_like(weight, dtype=torch.float32) if keep[1] else None
        rows = rows_a_chunk(hidden.device, len(weight))
        total = hidden.new_zeros((), dtype=torch.float32)
        for start in range(0, len(hidden), rows):
            chunk = slice(start, start + rows)
            loss, grad_logits = chunk_loss(chunk, low_hidden[chunk] @ low_weight.T, any(keep))
            total += loss
            if grad_hidden is not None:
                torch.mm(grad_logits, low_weight, out=grad_hidden[chunk])
            if grad_weight is not None:
                grad_weight += grad_logits.T @ low_hidden[chunk]
        ctx.save_for_backward(grad_hidden, grad_weight)
        ctx.dtypes = hidden.dtype, weight.dtype
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        scaled = [
            None if saved is None else (saved * grad).to(dtype)
            for saved, dtype in zip(ctx.saved_tensors, ctx.dtypes, strict=True)
        ]
        return scaled[0], scaled[1], None, None


def loss_by_chunks(hidden: Tensor, weight: Tensor, chunk_loss: ChunkLoss, dtype: torch.dtype) -> Tensor:
    """Sum of a loss of logits `hidden @ weight.T`, which are never whole in memory; a float32 scalar.

    `hidden` is [tokens, hidden size], `weight` [vocab, hidden size]. The products run in `dtype`.
    """
    loss: Tensor = _HeadLoss.apply(hidden, weight, chunk_loss, dtype)
    return loss


def rows_a_chunk(device: torch.device, vocab_size: int) -> int:
    """Of how many tokens there are logits at a time."""
    return max(MIN_ROWS, CHUNK_LOGITS.get(device.type, CHUNK_LOGITS_ELSEWHERE) // vocab_size)


def shares_of(targets: Tensor, shares: Tensor | None) -> Tensor:
    """What each target counts: nothing where it is -100."""
    counted = targets != IGNORED
    return counted if shares is None else counted * shares


def _chunk_loss(logits: Tensor, targets: Tensor, counted: Tensor, with_grad: bool) -> tuple[Tensor, Tensor]:
    """Summed loss of a chunk of logits [rows, vocab] and its gradient with respect to them."""
    index = targets.clamp_min(0)[:, None]
    wide = logits.float()
    log_total = torch.logsumexp(wide, dim=-1)
    loss = ((log_total - wide.gather(1, index)[:, 0]) * counted).sum()
    if not with_grad:
        return loss, logits
    gradient = wide.sub_(log_total[:, None]).exp_()
    gradient.scatter_add_(1, index, gradient.new_full(index.shape, -1.0))
    gradient *= counted[:, None]
    return loss, gradient.to(logits.dtype)


def head_loss(
    hidden: Tensor,
    weight: Tensor,
    targets: Tensor,
    dtype: torch.dtype = torch.float32,
    shares: Tensor | None = None,
) -> Tensor:
    """Summed cross entropy in nats of `softmax(hidden @ weight.T)` against `targets`; a float32 scalar.

    `hidden` [tokens, hidden size], `weight` [vocab, hidden size], `targets` [tokens], -100 is not counted;
    `shares` [tokens] is what each target counts, one if not given. The products run in `dtype`, the softmax
    in float32.
    """
    counted = shares_of(targets, shares)

    def chunk_loss(chunk: slice, logits: Tensor, with_grad: bool) -> tuple[Tensor, Tensor]:
        return _chunk_loss(logits, targets[chunk], counted[chunk], with_grad)

    return loss_by_chunks(hidden, weight, chunk_loss, dtype)
