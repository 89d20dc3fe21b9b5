"""Rotary positions and how they are stretched."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from phonelm.arch.part import Part

RopeTable = Literal["float", "int8"]


class RopeScaling(Part):
    """How rotary frequencies are stretched over longer contexts than the model began with.

    `linear` and `yarn` (arXiv 2309.00071) divide by `factor`, YaRN only the slow dimensions; `factors`
    divides each dimension by its own (Llama 3); `longrope` (arXiv 2402.13753) too, by `long_factors` where a
    sequence may grow beyond `original_context`. Factors that only a file's tensors hold are None.
    """

    kind: Literal["linear", "yarn", "factors", "longrope"]
    factor: float = Field(default=1.0, gt=0)
    original_context: int | None = Field(default=None, gt=0)
    magnitude: float = Field(default=1.0, gt=0)
    """Factor of cos and sin (beside YaRN's own)."""
    beta_fast: float = Field(default=32.0, gt=0)
    beta_slow: float = Field(default=1.0, gt=0)
    factors: tuple[float, ...] | None = None
    long_factors: tuple[float, ...] | None = None

    @model_validator(mode="after")
    def _consistent(self) -> RopeScaling:
        if self.kind in ("yarn", "longrope") and self.original_context is None:
            raise ValueError(f"{self.kind} needs original_context")
        for factor in (*(self.factors or ()), *(self.long_factors or ())):
            if not 0 < factor < float("inf"):
                raise ValueError(f"a factor of {self.kind} is {factor}; it must be positive")
        return self


class Rope(Part):
    """Rotary position embedding of queries and keys (arXiv 2104.09864)."""

    theta: float = Field(default=10000.0, gt=0)
    fraction: float = Field(default=1.0, gt=0, le=1)
    """Share of a head that is rotated."""
    interleaved: bool = False
    """Rotate neighbouring dimensions (2i, 2i+1) instead of the two halves (i, i + d/2)."""
    table: RopeTable = "float"
    """`int8`: cos and sin rounded to `round(127 * x) / 127` (PhoneLM, arXiv 2411.05046)."""
    scaling: RopeScaling | None = None

    def rotated_dims(self, head_dim: int) -> int:
        """Number of rotated dimensions of a head."""
        # 26 / 46 of 46 is 26, not the 25.999999999999996 of floating point.
        return int(head_dim * self.fraction + 1e-6)
