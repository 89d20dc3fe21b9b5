"""Training with weights as Q4_0 will have them, so that rounding them afterwards costs less."""

# torch's autograd functions and parts of transformers carry no types.
# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from transformers import PreTrainedModel

_BLOCK = 32


class _Rounded(torch.autograd.Function):
    """Rounds on the way forward; gradients pass as they are (straight-through, arXiv 1308.3432)."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor) -> Tensor:
        blocks = weight.detach().float().view(-1, _BLOCK)
        largest = blocks.gather(1, blocks.abs().argmax(1, keepdim=True))
        scale = largest / -8.0
        inverse = torch.nan_to_num(1.0 / scale, nan=0.0, posinf=0.0, neginf=0.0)
        levels = (blocks * inverse + 8.5).floor_().clamp_max_(15.0)
        return ((levels - 8.0) * scale.half().float()).view_as(weight)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return grad


def round_to_q4_0(weight: Tensor) -> Tensor:
    """A matrix [rows, columns] as Q4_0 gives it back, bit for bit as ggml's reference; float32.

    Its gradient is the matrix's. Columns are whole blocks of 32.
    """
    rounded: Tensor = _Rounded.apply(weight)
    return rounded


def train_rounded(model: PreTrainedModel) -> None:
    """From now on the matrices of the model's layers are rounded in each pass; what is trained stays float32.

    Raises `ValueError` for a matrix whose rows do not fill blocks, which could not be quantized either.
    """
    for name, module in model.get_decoder().layers.named_modules():
        if not isinstance(module, nn.Linear):
            continue
        if module.in_features % _BLOCK:
            raise ValueError(
                f"layer {name} has {module.in_features} columns, and Q4_0 blocks of {_BLOCK}; "
                "leave out qat_steps"
            )
        module.forward = partial(_forward, module)  # type: ignore[method-assign]


def _forward(module: nn.Linear, inputs: Tensor) -> Tensor:
    return nn.functional.linear(inputs, round_to_q4_0(module.weight), module.bias)
