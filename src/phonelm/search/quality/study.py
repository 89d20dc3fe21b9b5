"""Which shapes a study of quality trains: a fixed, even sample of the space at each size."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from phonelm.arch import DecoderConfig
from phonelm.data.config import STDLIB
from phonelm.files import read_json, write_json
from phonelm.ranges import INT32_MAX, INT64_MAX
from phonelm.search.counts import read_count
from phonelm.search.quality.features import features
from phonelm.search.space import Range, SpaceConfig, enumerate_shapes

STUDY_FILE = "study.json"
STUDY_SPACE = SpaceConfig(
    hidden=Range(min=64, max=1024, step=32),
    layers=Range(min=3, max=24),
    head_dim=[16, 32, 64],
    kv_groups=[1, 2, 3, 4],
    attention_ratio=(0.5, 1.5),
    ffn_ratio=(1.0, 6.0),
    ffn=["gated relu", "gated silu", "plain relu2"],
    tied=[True],
)
"""Where models of a few million parameters lie; the search's own space begins at larger ones."""


class Size(NamedTuple):
    """What is trained of one size."""

    params: int
    shapes: int
    tokens: int
    repeats: int


class StudyConfig(BaseModel):
    """What is trained and on what. Shapes of one size see the same tokens in the same order."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    params: tuple[int, ...] = (1_000_000, 3_000_000)
    """Total parameters of each size, embedding included."""
    shapes: tuple[int, ...] = (12,)
    """Shapes of each size; one number stands for all."""
    tokens: tuple[int, ...] = (2_000_000,)
    """Training tokens of each size; one number stands for all."""
    repeats: tuple[int, ...] = (2,)
    """Shapes of each size that are trained again from other first weights, to know the noise."""
    tolerance: float = Field(default=0.01, gt=0, lt=0.5)
    """Share by which a shape's parameters may differ from its size."""
    corpus: tuple[str, ...] = (STDLIB,)
    """Sources that `phonelm data` understands."""
    max_bytes: int | None = Field(default=None, gt=0, le=INT64_MAX)
    """Take no more than this much of the corpus."""
    vocab_size: int = Field(default=2048, ge=259, le=INT32_MAX)
    sequence_length: int = Field(default=128, gt=1, le=INT32_MAX)
    batch_size: int = Field(default=4, gt=0, le=INT32_MAX)
    learning_rate: float = Field(default=5e-3, gt=0, allow_inf_nan=False)
    """That of a width of 128; others take it times 128 / width (muP's rule for Adam, arXiv 2203.03466)."""
    valid_tokens: int = Field(default=32768, gt=0, le=INT32_MAX)
    """Held-out tokens that the loss is taken over."""
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    seed: int = Field(default=0, ge=0, le=INT32_MAX)
    """Of the first weights; the order of the data has its own."""
    space: SpaceConfig = STUDY_SPACE

    @field_validator("params", "tokens", mode="before")
    @classmethod
    def _readable(cls, value: Any) -> Any:
        """Also `3M` and `500k`."""
        return tuple(_count(one) for one in value) if isinstance(value, (tuple, list)) else value

    @field_validator("params", "shapes", "tokens", "repeats")
    @classmethod
    def _positive(cls, value: tuple[int, ...], info: ValidationInfo) -> tuple[int, ...]:
        if not value or min(value) < (info.field_name != "repeats") or max(value) > INT64_MAX:
            raise ValueError("must be positive numbers below 2^63, one for all sizes or one for each")
        return value

    @model_validator(mode="after")
    def _consistent(self) -> StudyConfig:
        if len(set(self.params)) != len(self.params):
            raise ValueError("a size of params is named twice")
        for name in ("shapes", "tokens", "repeats"):
            if len(getattr(self, name)) not in (1, len(self.params)):
                raise ValueError(
                    f"{name} has {len(getattr(self, name))} numbers for {len(self.params)} sizes"
                )
        if min(self.shapes) < 4:
            raise ValueError(
                f"{min(self.shapes)} shapes of a size teach nothing about shape; take at least 4"
            )
        if min(self.tokens) < 20 * self.step_tokens:
            raise ValueError(
                f"{min(self.tokens)} tokens are fewer than 20 steps of {self.step_tokens}; take more tokens"
            )
        return self

    @property
    def step_tokens(self) -> int:
        """Tokens an optimizer step learns from."""
        return self.batch_size * self.sequence_length

    def sizes(self) -> list[Size]:
        """Each size with its own numbers, the smallest first."""
        wanted = (self.shapes, self.tokens, self.repeats)
        columns = [many * len(self.params) if len(many) == 1 else many for many in wanted]
        return sorted(Size(*row) for row in zip(self.params, *columns, strict=True))

    def save(self, folder: Path) -> None:
        """Write `study.json`."""
        write_json(folder / STUDY_FILE, self.model_dump(mode="json"))

    @classmethod
    def load(cls, folder: Path) -> StudyConfig:
        """Read what `save` wrote. Raises `ValueError` where there is none or one of another version."""
        if not (folder / STUDY_FILE).exists():
            raise ValueError(f"{folder} holds no study of quality ({STUDY_FILE} is missing); name its folder")
        try:
            return cls.model_validate(read_json(folder / STUDY_FILE))
        except ValidationError as error:
            raise ValueError(
                f"{folder / STUDY_FILE} is of another version; begin in another folder"
            ) from error


def _count(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    if (count := read_count(value)) is None:
        raise ValueError(f"{value!r} is not a number; write 3M or 3000000")
    return count


@dataclass(frozen=True)
class PlannedRun:
    """One training to be done."""

    name: str
    """Unique in the study, and that of its folder."""
    params: int
    """The size it belongs to."""
    tokens: int
    seed: int
    decoder: DecoderConfig


def planned_runs(config: StudyConfig) -> list[PlannedRun]:
    """All trainings of a study, the same each time: smaller sizes first, repeats after all shapes.

    Raises `ValueError` when the space has no shape of a size, or fewer than are wanted.
    """
    runs: list[PlannedRun] = []
    repeats: list[PlannedRun] = []
    for size in config.sizes():
        for index, decoder in enumerate(_sampled(config, size)):
            name = f"{size.params / 1e6:g}M-{index:02d}"
            runs.append(PlannedRun(name, size.params, size.tokens, config.seed, decoder))
            if index < size.repeats:
                again = f"{name}-again"
                repeats.append(PlannedRun(again, size.params, size.tokens, config.seed + 1, decoder))
    return runs + repeats


def _sampled(config: StudyConfig, size: Size) -> list[DecoderConfig]:
    """The shapes of a size."""
    shapes = enumerate_shapes(config.space, config.vocab_size, size.params, config.tolerance)
    if len(shapes) < size.shapes:
        raise ValueError(
            f"the space has {len(shapes)} shapes of {size.params:,} parameters and {size.shapes} are wanted; "
            "take fewer shapes or a wider space"
        )
    chosen = shapes.take(even_sample(features(shapes), size.shapes))
    return [chosen.config(index, config.sequence_length) for index in range(size.shapes)]


def even_sample(points: npt.NDArray[Any], count: int) -> npt.NDArray[np.intp]:
    """Indices of `count` different rows of `points` [rows, dimensions], spread evenly over their box.

    The rows nearest to a sequence of low discrepancy: the Kronecker sequence of the powers of 1/g, where
    g^(d+1) = g + 1 (M. Roberts 2018, "The unreasonable effectiveness of quasirandom sequences").
    Dimensions in which all rows agree do not count.
    """
    low, high = points.min(axis=0), points.max(axis=0)
    varied = high > low
    unit = ((points[:, varied] - low[varied]) / (high - low)[varied]).astype(np.float32)
    free = np.ones(len(unit), dtype=bool)
    chosen = []
    for target in _kronecker(count, unit.shape[1]):
        distance = np.where(free, np.square(unit - target).sum(axis=1), np.inf)
        index = int(np.argmin(distance))
        free[index] = False
        chosen.append(index)
    return np.array(chosen, dtype=np.intp)


def _kronecker(count: int, dimensions: int) -> npt.NDArray[np.float32]:
    """`count` points of [0, 1)^dimensions."""
    ratio = 2.0
    for _ in range(50):
        ratio = (1 + ratio) ** (1 / (dimensions + 1))
    steps = ratio ** -np.arange(1, dimensions + 1)
    return ((0.5 + np.outer(np.arange(count), steps)) % 1).astype(np.float32)
