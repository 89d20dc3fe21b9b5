"""Rotary position embedding with PhoneLM's int8 tables of cosines and sines (arXiv 2411.05046)."""

from __future__ import annotations

import torch
from torch import Tensor

LEVELS = 127


def round_to_int8(table: Tensor, largest: Tensor | float) -> Tensor:
    """Round a table to int8 with the scale `largest / 127` and back.

    A table whose largest entry is 0 (the sines of position 0 alone) stays 0.
    """
    if isinstance(largest, Tensor):
        largest = torch.where(largest == 0, torch.ones_like(largest), largest)
    quantized = torch.round(LEVELS * table / largest).to(torch.int8)
    return quantized.to(table.dtype) / LEVELS * largest


def rotary_tables(position_ids: Tensor, head_dim: int, theta: float, kind: str) -> tuple[Tensor, Tensor]:
    """Cosines and sines, float32 [batch, length, head_dim], of positions [batch, length].

    Both halves of the last dimension hold the angles `position * theta ** (-2i / head_dim)`. With kind
    `int8_per_call` the scale is the largest absolute entry over all positions given, so it depends on what
    else is in the call; `int8` has the scale 1; `float` does not round.
    """
    exponents = torch.arange(0, head_dim, 2, dtype=torch.float, device=position_ids.device) / head_dim
    angles = position_ids[..., None].float() * (1.0 / (theta**exponents))
    angles = torch.cat((angles, angles), dim=-1)
    cos, sin = angles.cos(), angles.sin()
    if kind == "float":
        return cos, sin
    if kind == "int8":
        return round_to_int8(cos, 1.0), round_to_int8(sin, 1.0)
    return round_to_int8(cos, cos.abs().max()), round_to_int8(sin, sin.abs().max())


def rotate(states: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate queries or keys [batch, heads, length, head_dim] in the precision of the tables.

    The pairs are (i, i + head_dim / 2). Returns the dtype of `states`.
    """
    first, second = states.chunk(2, dim=-1)
    turned = torch.cat((-second, first), dim=-1)
    return (states * cos[:, None] + turned * sin[:, None]).to(states.dtype)
