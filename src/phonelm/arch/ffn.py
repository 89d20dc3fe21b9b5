"""The feed-forward network of a layer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from pydantic import model_validator

from phonelm.arch.part import Part, Size, TensorShape, linear

Activation = Literal["relu", "relu2", "silu", "gelu", "gelu_tanh"]


class Ffn(Part):
    """`down(act(gate(x)) * up(x))`, or `down(act(up(x)))` without a gate (arXiv 2002.05202)."""

    intermediate_size: Size
    gated: bool = True
    activation: Activation = "silu"
    bias: bool = False
    fused: bool = False
    """Gate and up are one matrix (Phi-3)."""

    @model_validator(mode="after")
    def _consistent(self) -> Ffn:
        if self.fused and not self.gated:
            raise ValueError("fused joins gate and up; it needs gated")
        return self

    def tensors(self, hidden_size: int) -> Iterator[TensorShape]:
        """Its matrices and biases."""
        width = self.intermediate_size
        if self.gated and not self.fused:
            yield from linear("ffn_gate", width, hidden_size, self.bias)
        yield from linear("ffn_up", 2 * width if self.fused else width, hidden_size, self.bias)
        yield from linear("ffn_down", hidden_size, width, self.bias)
