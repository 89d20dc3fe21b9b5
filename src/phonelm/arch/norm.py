"""Normalization of the residual stream, of queries and of keys."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from phonelm.arch.part import Part, TensorShape

NormKind = Literal["rmsnorm", "layernorm", "layernorm_no_bias", "layernorm_nonparametric"]


class Norm(Part):
    """RMSNorm, or LayerNorm with weight and bias, with weight only, or with neither."""

    kind: NormKind = "rmsnorm"
    eps: float = Field(default=1e-5, gt=0)

    def tensors(self, name: str, length: int) -> Iterator[TensorShape]:
        """Its weight and bias over `length` channels."""
        if self.kind != "layernorm_nonparametric":
            yield TensorShape(f"{name}.weight", (length,), "vector")
        if self.kind == "layernorm":
            yield TensorShape(f"{name}.bias", (length,), "vector")
