"""The space of shapes as data: what may be varied, within which bounds.

Every dimension obeys the runtime: columns in blocks of 32 (quantization), rows in tiles of 16.
"""

from __future__ import annotations

import functools
import importlib.resources
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from phonelm.ranges import INT32_MAX

FfnName = Literal["gated silu", "gated relu", "plain relu2"]
TypePair = Literal[
    "q4_0/q8_0", "q4_0/q4_0", "q4_0/q4_1", "q4_1/q8_0", "q4_1/q4_0", "q4_1/q4_1",
    "q8_0/q8_0", "q8_0/q4_0", "q8_0/q4_1",
]  # fmt: skip
"""Type of the blocks' matrices / type of the embedding and the head."""
BLOCK = 32
"""Columns of a quantized block."""
TILE = 16
"""Rows the kernels take at a time."""
LARGEST = 1 << 20
"""Of a dimension: as much as the runtime's measuring protocol takes."""


class Range(BaseModel):
    """The numbers from `min` to `max` in steps of `step`, both ends included."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    min: int = Field(gt=0, le=LARGEST)
    max: int = Field(gt=0, le=LARGEST)
    step: int = Field(default=1, gt=0, le=LARGEST)

    @model_validator(mode="after")
    def _ordered(self) -> Range:
        if self.max < self.min:
            raise ValueError(f"max {self.max} is below min {self.min}, so it is empty")
        return self

    def values(self) -> list[int]:
        """All members."""
        return list(range(self.min, self.max + 1, self.step))


def _not_empty(bounds: tuple[float, float]) -> tuple[float, float]:
    low, high = bounds
    if low > high:
        raise ValueError(f"[{low:g}, {high:g}] is empty; put the smaller bound first")
    return bounds


def _multiples(of: int, why: str) -> AfterValidator:
    """Refuse any number of a field (a number, a list, the ends of a range) that is not a multiple."""

    def check(value: Any) -> Any:
        for number in _numbers(value):
            if number <= 0 or number % of:
                raise ValueError(f"{number} is not one of the multiples of {of} ({why})")
        return value

    return AfterValidator(check)


def _numbers(value: Any) -> list[int]:
    if isinstance(value, Range):
        return [value.min, value.step] if value.max > value.min else [value.min]
    return value if isinstance(value, list) else [value]


Ratio = Annotated[
    tuple[Annotated[float, Field(gt=0, le=LARGEST)], Annotated[float, Field(gt=0, le=LARGEST)]],
    AfterValidator(_not_empty),
]
Blocks = _multiples(BLOCK, "a quantized block")
Tiles = _multiples(TILE, "the kernels' tile of rows")


@functools.cache
def default_document() -> dict[str, Any]:
    """What the shipped `spaces/default.yaml` says."""
    import yaml

    file = importlib.resources.files("phonelm.search") / "spaces" / "default.yaml"
    document: dict[str, Any] = yaml.safe_load(file.read_text(encoding="utf-8"))
    return document


def _shipped(key: str, **limits: Any) -> Any:
    """A field whose default the shipped file holds."""
    return Field(default_factory=lambda: default_document()[key], **limits)


class SpaceConfig(BaseModel):
    """Which shapes are candidates; `spaces/default.yaml` says what each key means, and its default.

    Loss depends little on the ratio of width to depth over a factor of forty (Kaplan et al. 2020,
    arXiv:2001.08361, section 3.1); `layers`, `head_dim` and `ffn_ratio` keep the candidates inside.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    vocab: list[Annotated[int, Field(ge=256, le=INT32_MAX)]] = _shipped("vocab", min_length=1)
    types: list[TypePair] = _shipped("types", min_length=1)
    hidden: Annotated[Range, Blocks] = _shipped("hidden")
    layers: Range = _shipped("layers")
    head_dim: Annotated[list[int], Tiles] = _shipped("head_dim", min_length=1)
    kv_groups: list[Annotated[int, Field(gt=0)]] = _shipped("kv_groups", min_length=1)
    attention_ratio: Ratio = _shipped("attention_ratio")
    ffn_ratio: Ratio = _shipped("ffn_ratio")
    ffn_step: Annotated[int, Blocks] = _shipped("ffn_step")
    ffn: list[FfnName] = _shipped("ffn", min_length=1)
    tied: list[bool] = _shipped("tied", min_length=1)

    @model_validator(mode="after")
    def _agrees(self) -> SpaceConfig:
        """Keys that are sound alone may leave nothing together."""
        widths = self.hidden.values()
        if not any(self.heads_at(width) for width in widths):
            raise ValueError(
                f"attention_ratio {list(self.attention_ratio)} leaves no heads: no multiple of head_dim "
                f"{self.head_dim} and kv_groups {self.kv_groups} lies in it for hidden {widths[0]} to "
                f"{widths[-1]}; widen attention_ratio or add smaller heads"
            )
        if not any(low <= high for low, high in map(self.ffn_bounds, widths)):
            raise ValueError(
                f"ffn_ratio {list(self.ffn_ratio)} holds no multiple of ffn_step {self.ffn_step} for hidden "
                f"{widths[0]} to {widths[-1]}; widen ffn_ratio or lower ffn_step"
            )
        return self

    def heads_at(self, hidden: int) -> list[tuple[int, int, int]]:
        """Every (head_dim, heads, kv_heads) allowed at a width; their product goes by blocks."""
        low, high = self.attention_ratio
        return [
            (size, kv * group, kv)
            for size in sorted(set(self.head_dim))
            for group in sorted(set(self.kv_groups))
            for kv in range(1, int(high * hidden / (size * group)) + 1)
            if size * kv * group >= low * hidden and size * kv * group % BLOCK == 0
        ]

    def ffn_bounds(self, hidden: int) -> tuple[int, int]:
        """Smallest and largest FFN width allowed at a width, in whole steps."""
        low, high = self.ffn_ratio
        step = self.ffn_step
        return -int(-low * hidden // step) * step, int(high * hidden // step) * step
