"""The space of shapes as data, and all its members under a parameter budget as arrays.

Every dimension obeys the runtime: columns in blocks of 32 (quantization), rows in tiles of 16.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, model_validator

from phonelm.arch import DecoderConfig

Array = npt.NDArray[Any]
FfnName = Literal["gated silu", "gated relu", "plain relu2"]
BLOCK = 32


class Range(BaseModel):
    """The numbers from `min` to `max` in steps of `step`, both ends included."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    min: int = Field(gt=0)
    max: int = Field(gt=0)
    step: int = Field(default=1, gt=0)

    @model_validator(mode="after")
    def _ordered(self) -> Range:
        if self.max < self.min:
            raise ValueError(f"max {self.max} is below min {self.min}")
        return self

    def values(self) -> list[int]:
        """All members."""
        return list(range(self.min, self.max + 1, self.step))


Ratio = tuple[Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)]]


class SpaceConfig(BaseModel):
    """Which shapes are candidates.

    The training-free quality proxy does not see depth, so the space keeps to shapes that train well: loss
    depends little on the ratio of width to depth over a factor of forty (Kaplan et al. 2020,
    arXiv:2001.08361, section 3.1), and `layers`, `head_dim` and `ffn_ratio` keep the candidates inside.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    hidden: Range = Range(min=64, max=4096, step=BLOCK)
    layers: Range = Range(min=4, max=64)
    head_dim: list[int] = Field(default=[32, 64, 96, 128], min_length=1)
    kv_groups: list[int] = Field(default=[1, 2, 3, 4, 8], min_length=1)
    """Query heads a KV head: 1 is multi-head attention."""
    attention_ratio: Ratio = (0.5, 1.5)
    """Bounds of heads x head_dim / hidden."""
    ffn_ratio: Ratio = (1.5, 6.0)
    """Bounds of intermediate / hidden."""
    ffn: list[FfnName] = Field(default=["gated relu", "gated silu", "plain relu2"], min_length=1)
    tied: list[bool] = Field(default=[True], min_length=1)

    @model_validator(mode="after")
    def _fits_the_runtime(self) -> SpaceConfig:
        if self.hidden.min % BLOCK or self.hidden.step % BLOCK:
            raise ValueError(f"hidden must go in multiples of {BLOCK} (the quantization block)")
        if any(size <= 0 or size % 16 for size in self.head_dim):
            raise ValueError("head_dim must be multiples of 16 (the kernels' tile of rows)")
        if any(group <= 0 for group in self.kv_groups):
            raise ValueError("kv_groups must be positive")
        for name in ("attention_ratio", "ffn_ratio"):
            low, high = getattr(self, name)
            if low > high:
                raise ValueError(f"{name} [{low}, {high}] is empty")
        return self


@dataclass(frozen=True)
class Shapes:
    """Many shapes of one vocabulary as arrays of equal length."""

    vocab_size: int
    gated: Array
    activation: Array
    """0 silu, 1 relu, 2 relu2."""
    tied: Array
    hidden: Array
    layers: Array
    head_dim: Array
    heads: Array
    kv_heads: Array
    intermediate: Array

    def __len__(self) -> int:
        return len(self.hidden)

    def take(self, which: Any) -> Shapes:
        """The shapes at an index array, mask or slice."""
        return Shapes(self.vocab_size, *(getattr(self, f.name)[which] for f in fields(self)[1:]))

    @property
    def non_embedding(self) -> Array:
        """Parameters of the blocks and the final norm."""
        hidden = self.hidden.astype(np.int64)
        attention = self.head_dim * (2 * self.heads + 2 * self.kv_heads)
        ffn = np.where(self.gated, 3, 2) * self.intermediate
        return np.asarray(self.layers * hidden * (attention + ffn + 2) + hidden)

    @property
    def embedding(self) -> Array:
        """Parameters of the embedding, and of the output head where it is not tied."""
        return np.asarray(self.vocab_size * self.hidden.astype(np.int64) * np.where(self.tied, 1, 2))

    @property
    def total(self) -> Array:
        """All parameters."""
        return np.asarray(self.non_embedding + self.embedding)

    def config(self, index: int, context_length: int) -> DecoderConfig:
        """One shape as the type the rest of the project speaks."""
        activations = ("silu", "relu", "relu2")
        return DecoderConfig.model_validate(
            {
                "vocab_size": self.vocab_size,
                "hidden_size": int(self.hidden[index]),
                "num_layers": int(self.layers[index]),
                "num_heads": int(self.heads[index]),
                "num_kv_heads": int(self.kv_heads[index]),
                "head_dim": int(self.head_dim[index]),
                "intermediate_size": int(self.intermediate[index]),
                "ffn": "gated" if self.gated[index] else "plain",
                "activation": activations[int(self.activation[index])],
                "tie_embeddings": bool(self.tied[index]),
                "context_length": context_length,
            }
        )


def shapes_of(config: DecoderConfig) -> Shapes:
    """One decoder as `Shapes` of length 1. Raises `ValueError` for kinds the cost tables do not hold."""
    activation = {"silu": 0, "relu": 1, "relu2": 2}.get(config.activation)
    if not config.is_uniform or activation is None:
        raise ValueError("the cost model prices uniform layers with silu, relu or relu2 only")
    numbers = (
        config.hidden_size,
        config.num_layers,
        config.head_dim,
        config.heads_at(0),
        config.kv_heads_at(0),
    )
    return Shapes(
        config.vocab_size,
        np.array([config.ffn == "gated"]),
        np.array([activation], dtype=np.int8),
        np.array([config.tie_embeddings]),
        *(np.array([number], dtype=np.int32) for number in (*numbers, config.intermediate_at(0))),
    )


def enumerate_shapes(space: SpaceConfig, vocab_size: int, params: int, tolerance: float) -> Shapes:
    """All shapes of the space whose total parameter count is within `tolerance` (a share) of `params`.

    Raises `ValueError` naming the nearest parameter count when there is none.
    """
    parts: list[Shapes] = []
    nearest: list[int] = []
    for gated, activation, tied, hidden in _kinds(space):
        low, high = _intermediate_bounds(space, hidden)
        if low > high:
            continue
        head_dim, heads, kv_heads, layers = _attention_and_layers(space, hidden)
        slope = layers * hidden * (3 if gated else 2)
        attention = head_dim * (2 * heads + 2 * kv_heads)
        fixed = layers * hidden * (attention + 2) + hidden + vocab_size * hidden * (1 if tied else 2)
        first = np.maximum(-((fixed - params * (1 - tolerance)) // slope), low)
        first = np.ceil(first / BLOCK).astype(np.int64) * BLOCK
        last = np.minimum((params * (1 + tolerance) - fixed) // slope, high).astype(np.int64) // BLOCK * BLOCK
        count = np.maximum((last - first) // BLOCK + 1, 0)
        nearest.extend(_nearest_totals(fixed, slope, low, high, params))
        if not count.any():
            continue
        index = np.repeat(np.arange(len(count)), count)
        step = np.arange(len(index)) - np.repeat(np.cumsum(count) - count, count)
        parts.append(
            Shapes(
                vocab_size,
                np.full(len(index), gated),
                np.full(len(index), activation, dtype=np.int8),
                np.full(len(index), tied),
                np.full(len(index), hidden, dtype=np.int32),
                layers=layers[index].astype(np.int32),
                head_dim=head_dim[index].astype(np.int32),
                heads=heads[index].astype(np.int32),
                kv_heads=kv_heads[index].astype(np.int32),
                intermediate=(first[index] + step * BLOCK).astype(np.int32),
            )
        )
    if not parts:
        close = f"{min(nearest, key=lambda total: abs(total - params)):,}" if nearest else "nothing"
        raise ValueError(
            f"no shape of the space has {params:,} parameters ± {tolerance:.0%} with a vocabulary of "
            f"{vocab_size:,}; the nearest has {close}: change `params`, `vocab_size` or the space"
        )
    return _join(parts)


def _kinds(space: SpaceConfig) -> Iterator[tuple[bool, int, bool, int]]:
    activations = {"silu": 0, "relu": 1, "relu2": 2}
    for name in dict.fromkeys(space.ffn):
        kind, activation = name.split()
        for tied in sorted(set(space.tied), reverse=True):
            for hidden in space.hidden.values():
                yield kind == "gated", activations[activation], tied, hidden


def _intermediate_bounds(space: SpaceConfig, hidden: int) -> tuple[int, int]:
    """Smallest and largest FFN width allowed, in whole blocks."""
    low, high = space.ffn_ratio
    return -int(-low * hidden // BLOCK) * BLOCK, int(high * hidden // BLOCK) * BLOCK


def _attention_and_layers(space: SpaceConfig, hidden: int) -> tuple[Array, Array, Array, Array]:
    """Every (head_dim, heads, kv_heads) allowed at this width, with every number of layers (int64 arrays)."""
    low, high = space.attention_ratio
    heads = [
        (size, kv * group, kv)
        for size in sorted(set(space.head_dim))
        for group in sorted(set(space.kv_groups))
        for kv in range(1, int(high * hidden / (size * group)) + 1)
        if size * kv * group >= low * hidden and size * kv * group % BLOCK == 0
    ]
    layers = np.array(space.layers.values(), dtype=np.int64)
    table = np.array(heads, dtype=np.int64).reshape(-1, 3).repeat(len(layers), axis=0)
    return table[:, 0], table[:, 1], table[:, 2], np.tile(layers, len(heads))


def _nearest_totals(fixed: Array, slope: Array, low: int, high: int, params: int) -> Iterator[int]:
    """Total parameters of the allowed shape nearest to `params`, where there is any shape at all."""
    if len(fixed):
        width = np.clip(np.round((params - fixed) / slope / BLOCK) * BLOCK, low, high)
        totals = fixed + slope * width
        yield int(totals[np.argmin(np.abs(totals - params))])


def _join(parts: list[Shapes]) -> Shapes:
    names = [f.name for f in fields(Shapes)[1:]]
    return Shapes(parts[0].vocab_size, **{n: np.concatenate([getattr(p, n) for p in parts]) for n in names})
