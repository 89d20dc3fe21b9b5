"""What data is wanted, and what was prepared."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, field_validator

from phonelm.ranges import INT32_MAX, INT64_MAX

STDLIB = "python-stdlib"


class DataConfig(BaseModel):
    """A corpus, and how it becomes tokens."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str | tuple[str, ...] = STDLIB
    """`python-stdlib`, a folder, a file (.txt .md .py .jsonl .jsonl.xz .jsonl.zst .jsonl.gz .parquet),
    `hf:NAME` or `hf:NAME:CONFIGURATION`; or several of these."""
    vocab_size: int = Field(default=4096, ge=259, le=INT32_MAX)
    """Tokens of the byte-level BPE vocabulary: 3 special ones, 256 bytes, and merges."""
    valid_fraction: float = Field(default=0.02, gt=0, le=0.5)
    """Share of the documents that is held out."""
    max_bytes: int | None = Field(default=None, gt=0, le=INT64_MAX)
    """Stop after this much text (UTF-8, duplicates not counted); `None`: take all."""
    tokenizer_bytes: int = Field(default=8_000_000, gt=0, le=INT64_MAX)
    """Text, from the start of the corpus, on which the vocabulary is learnt."""
    seed: int = Field(default=0, ge=0, le=INT64_MAX)
    """Of the split and of the order of the batches."""

    @field_validator("source", mode="before")
    @classmethod
    def _some(cls, value: object) -> object:
        if not value or (isinstance(value, (list, tuple)) and not all(value)):
            raise ValueError(f"name a source: {STDLIB}, a path or hf:NAME")
        return value

    @property
    def sources(self) -> tuple[str, ...]:
        """All sources."""
        return (self.source,) if isinstance(self.source, str) else self.source


class ConversationsConfig(BaseModel):
    """Which conversations are learnt from, and how their tokens are weighed."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    sources: tuple[str, ...] = Field(min_length=1)
    """Files or folders of JSON lines or parquet with `messages` (and `tools`), or `hf:NAME`."""
    valid_fraction: float = Field(default=0.02, gt=0, le=0.5)
    """Share of the conversations that is held out."""
    call_weight: float = Field(default=1.0, ge=0, le=1000)
    """Of the tokens of calls in the loss; those of other answers have 1."""
    seed: int = Field(default=0, ge=0, le=INT64_MAX)
    """Of the split, of the packing and of the order."""
