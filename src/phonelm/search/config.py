"""What a search is asked: the budget, what the model will do, the limits, the space."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from phonelm.ranges import INT32_MAX, INT64_MAX
from phonelm.search.choice import Preference
from phonelm.search.cost import Request
from phonelm.search.counts import read_count
from phonelm.search.narrowing import narrowed
from phonelm.search.space import SpaceConfig
from phonelm.search.space_file import load_space

BlockType = Literal["q4_0", "q4_1", "q8_0"]
LIMITS = ("max_decode_ms", "max_prefill_ms", "max_memory_mb")


class SearchConfig(BaseModel):
    """The budget, what the model will be asked, and the space."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    params: int = Field(le=INT64_MAX)
    """Total parameters, embedding included; `4.7M` and `0.5B` are understood."""
    tolerance: float = Field(default=0.02, gt=0, lt=1)
    vocab_size: int | None = Field(default=None, ge=256, le=INT32_MAX)
    """Takes the place of the space's vocabularies."""
    context_length: int = Field(default=512, gt=0, le=INT32_MAX)
    prompt_tokens: int = Field(default=128, gt=0, le=INT32_MAX)
    output_tokens: int = Field(default=128, gt=0, le=INT32_MAX)
    max_decode_ms: float | None = Field(default=None, gt=0)
    max_prefill_ms: float | None = Field(default=None, gt=0)
    max_memory_mb: float | None = Field(default=None, gt=0)
    """Weights and a full KV cache, in MiB."""
    max_loss_percent: float = Field(default=1.0, ge=0)
    """How far the choice's predicted loss may lie above the best conventional shape's (of all priced shapes
    where the budget is too small for those)."""
    prefer: Preference = "balance"
    block_type: BlockType | None = None
    head_type: BlockType | None = None
    """Take the place of the space's types."""
    space: SpaceConfig = Field(default_factory=SpaceConfig)
    """A space, or the name of its file."""
    predictor: str | None = None
    """The file of a predictor that `phonelm search fit-quality` fitted, in place of the shipped one."""
    keep: dict[str, Any] = Field(default_factory=dict)
    """Dimensions that stay at one value: `{layers: 24}`."""

    @field_validator("params", mode="before")
    @classmethod
    def _readable_number(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        if (count := read_count(value)) is None:
            raise ValueError(f"{value!r} is not a number of parameters; write 4.7M or 4700000")
        return count

    @field_validator("params")
    @classmethod
    def _some_parameters(cls, value: int) -> int:
        if value <= 0:
            raise ValueError(f"a budget of {value} parameters holds no model")
        return value

    @field_validator("space", mode="before")
    @classmethod
    def _from_file(cls, value: Any) -> Any:
        return load_space(value) if isinstance(value, str) else value

    @property
    def narrowed_space(self) -> SpaceConfig:
        """The space with what is set beside it. Raises `ValueError` for what lies outside of it."""
        changes: dict[str, Any] = {}
        if self.vocab_size is not None:
            changes["vocab"] = [self.vocab_size]
        if self.block_type or self.head_type:
            changes["types"] = [f"{self.block_type or 'q4_0'}/{self.head_type or 'q8_0'}"]
        space = SpaceConfig.model_validate({**self.space.model_dump(), **changes})
        return narrowed(space, self.keep)

    @property
    def limits(self) -> dict[str, float]:
        """The limits that are set, by name."""
        return {name: getattr(self, name) for name in LIMITS if getattr(self, name) is not None}

    @property
    def request(self) -> Request:
        """What is priced. Raises `ValueError` when prompt and answer do not fit the context."""
        if self.prompt_tokens + self.output_tokens > self.context_length:
            raise ValueError(
                f"prompt_tokens {self.prompt_tokens} + output_tokens {self.output_tokens} do not fit the "
                f"context_length {self.context_length}; make one of them fit"
            )
        return Request(self.prompt_tokens, self.output_tokens, self.context_length)
