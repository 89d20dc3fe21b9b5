"""Norms of the torch model, by their names in `phonelm.arch.Norm`."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def _dtype_after(hidden: Tensor) -> torch.dtype:
    kind = hidden.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else hidden.dtype


class PhoneLMRMSNorm(nn.Module):
    """`x / sqrt(mean(x^2) + eps) * weight`, the mean in float32 (arXiv 1910.07467)."""

    def __init__(self, size: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.eps = eps

    def forward(self, hidden: Tensor) -> Tensor:
        """Normalize the last dimension; keeps shape and dtype."""
        wide = hidden.float()
        wide = wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + self.eps)
        return (self.weight * wide.to(hidden.dtype)).to(_dtype_after(hidden))


class PhoneLMLayerNorm(nn.LayerNorm):
    """`(x - mean(x)) / sqrt(var(x) + eps) * weight + bias` (arXiv 1607.06450)."""

    def forward(self, hidden: Tensor) -> Tensor:
        """Normalize the last dimension; keeps shape and dtype."""
        return super().forward(hidden).to(_dtype_after(hidden))


NORMS: dict[str, type[nn.Module]] = {"rmsnorm": PhoneLMRMSNorm, "layernorm": PhoneLMLayerNorm}
