"""What lies before the first layer and behind the last: the embedding and the head."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field, model_validator

from phonelm.arch.part import Part, TensorShape, linear


class Embedding(Part):
    """From tokens to the residual stream."""

    size: int | None = Field(default=None, gt=0)
    """Width of the embedding when it is projected to `hidden_size` and back (OPT-350M)."""
    scaled: bool = False
    """It is multiplied by sqrt(hidden_size) (Gemma)."""
    norm: bool = False
    """A norm right after it (Bloom)."""
    learned_positions: bool = False
    position_offset: int = Field(default=0, ge=0)
    """Unused rows in front of the learned positions (OPT: 2)."""

    @model_validator(mode="after")
    def _consistent(self) -> Embedding:
        if self.position_offset and not self.learned_positions:
            raise ValueError("position_offset needs learned_positions")
        return self

    def tensors(self, vocab_size: int, hidden_size: int, context_length: int) -> Iterator[TensorShape]:
        """Its tables and its projection (the norm is the decoder's)."""
        yield TensorShape("token_embd.weight", (vocab_size, self.width(hidden_size)), "embedding")
        if self.learned_positions:
            positions = context_length + self.position_offset
            yield TensorShape("position_embd.weight", (positions, hidden_size), "position")
        if self.size is not None:
            yield from linear("project_in", hidden_size, self.size, False)

    def width(self, hidden_size: int) -> int:
        """Columns of the embedding and of the head."""
        return hidden_size if self.size is None else self.size


class Head(Part):
    """From the residual stream to logits."""

    tied: bool = True
    """Its matrix is the embedding."""
    bias: bool = False
    """(Phi-1, Phi-2)"""
    norm: bool = True
    """The final norm, in front of it."""

    def tensors(self, vocab_size: int, hidden_size: int, embedding: Embedding) -> Iterator[TensorShape]:
        """Its matrix, bias and projection (the norm is the decoder's)."""
        width = embedding.width(hidden_size)
        if embedding.size is not None:
            yield from linear("project_out", width, hidden_size, False)
        if not self.tied:
            yield TensorShape("output.weight", (vocab_size, width), "head")
        if self.bias:
            yield TensorShape("output.bias", (vocab_size,), "vector")
