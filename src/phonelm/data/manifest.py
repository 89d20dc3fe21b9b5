"""The record of a data folder, `data.json`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from phonelm.data.batches import PackedRows, Windows
from phonelm.data.shards import Shard, open_conversations, open_shards
from phonelm.files import read_json
from phonelm.words import counted

MANIFEST_FILE = "data.json"


class Split(BaseModel):
    """The training or the held-out part."""

    shards: list[Shard]
    documents: int
    tokens: int
    """Ends of documents included."""
    bytes: int
    """UTF-8 bytes of the text; of conversations, of what is learnt of it."""
    learnt_tokens: int | None = None
    """Of conversations, the tokens that have a weight in the loss."""


class DataManifest(BaseModel):
    """What a data folder holds; the content of `data.json`."""

    fingerprint: str
    """Of the configuration and the source files: the same means nothing is to be done."""
    content: str
    """Of the tokens: the same means the same training."""
    seed: int
    vocab_size: int
    unused_tokens: int = 0
    """Of the vocabulary, those that the text was too small to learn: they stand for nothing."""
    train: Split
    valid: Split
    conversations: bool = False
    """Whether the documents are conversations, of which some tokens are learnt and the rest is context."""
    duplicates: int
    """Documents dropped because one like them (but for white space) was there."""
    made: dict[str, Any]

    @property
    def summary(self) -> str:
        """One line on how much there is."""
        documents = self.train.documents + self.valid.documents
        if self.conversations:
            return (
                f"{counted(documents, 'conversation')}, {self.train.tokens:,} tokens to train on, of which "
                f"{self.train.learnt_tokens:,} are learnt, {self.valid.tokens:,} held out"
            )
        density = self.train.bytes / max(1, self.train.tokens)
        unused = (
            f"; the text was enough for {self.vocab_size - self.unused_tokens:,} of the {self.vocab_size:,} "
            "tokens of the vocabulary, the others stand for nothing: take a smaller --vocab or more text"
            if self.unused_tokens
            else ""
        )
        return (
            f"{counted(documents, 'document')}, {counted(self.train.tokens, 'token')} to train on, "
            f"{self.valid.tokens:,} held out, {density:.2f} bytes per token{unused}"
        )

    @staticmethod
    def load(folder: Path | str) -> DataManifest:
        """Read `data.json`. Raises `ValueError` when the folder has none or a broken one."""
        path = Path(folder) / MANIFEST_FILE
        if not path.exists():
            raise ValueError(
                f"{folder} holds no prepared data ({MANIFEST_FILE} is missing); run: phonelm data"
            )
        try:
            return DataManifest.model_validate(read_json(path))
        except ValidationError as error:
            raise ValueError(
                f"{path} is of another version; delete {folder} and prepare the data again"
            ) from error

    def windows(self, folder: Path, split: str, length: int) -> Windows:
        """Windows of `length` tokens over the `train` or `valid` part of the folder."""
        part = self.train if split == "train" else self.valid
        return Windows(
            open_shards(folder, part.shards, self.vocab_size), length, f"the {split} part of {folder}"
        )

    def rows(self, folder: Path, split: str, length: int) -> Windows | PackedRows:
        """What is learnt from, in rows of `length` places: windows of texts, or whole conversations."""
        if not self.conversations:
            return self.windows(folder, split, length)
        part = self.train if split == "train" else self.valid
        (tokens,) = open_shards(folder, part.shards, self.vocab_size)
        weights, starts = open_conversations(folder, split, part.tokens)
        return PackedRows(tokens, weights, starts, length, self.seed, f"the {split} part of {folder}")
