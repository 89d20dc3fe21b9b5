"""Attention: heads, positions, window, norms and biases."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from pydantic import Field, model_validator

from phonelm.arch.norm import Norm
from phonelm.arch.part import Part, Size, TensorShape, linear
from phonelm.arch.rope import Rope

AttentionBias = Literal["none", "qkv", "all"]
QkNorm = Literal["none", "head", "full"]


class Attention(Part):
    """Causal attention whose query heads may share keys and values (arXiv 2305.13245)."""

    kind: Literal["attention"] = "attention"
    num_heads: Size
    num_kv_heads: Size
    head_dim: Size
    rope: Rope | None = Rope()
    """None: queries and keys are not rotated."""
    alibi: bool = False
    """Scores fall with distance (arXiv 2108.12409)."""
    window: int | None = Field(default=None, gt=0)
    """How many tokens a token sees, itself included; None: all before it."""
    scale: float | None = Field(default=None, gt=0)
    """Factor of the products of queries and keys; None: 1 / sqrt(head_dim)."""
    qk_norm: QkNorm = "none"
    """Norm on queries and keys: none, over each head, or over the full width."""
    bias: AttentionBias = "none"
    """`qkv`: queries, keys and values; `all`: the output too."""
    fused: bool = False
    """Query, key and value are one matrix (Phi-3)."""

    @model_validator(mode="after")
    def _consistent(self) -> Attention:
        if self.num_heads % self.num_kv_heads:
            raise ValueError(
                f"num_heads {self.num_heads} is not a multiple of num_kv_heads {self.num_kv_heads}"
            )
        if self.rope is not None and self.alibi:
            raise ValueError("alibi and rope are both set; set rope to None or alibi to False")
        if self.rope is not None:
            self._check_rotation(self.rope)
        return self

    def _check_rotation(self, rope: Rope) -> None:
        dims = rope.rotated_dims(self.head_dim)
        if dims % 2:
            raise ValueError(f"the rotated part of a head has {dims} dimensions; it must be even")
        if rope.scaling is None:
            return
        for factors in (rope.scaling.factors, rope.scaling.long_factors):
            if factors is not None and len(factors) != dims // 2:
                raise ValueError(f"RoPE has {dims // 2} frequencies and {len(factors)} factors")

    @property
    def query_width(self) -> int:
        """Rows of the query matrix."""
        return self.num_heads * self.head_dim

    @property
    def kv_width(self) -> int:
        """Rows of the key matrix, and of the value matrix."""
        return self.num_kv_heads * self.head_dim

    def tensors(self, hidden_size: int, norm: Norm) -> Iterator[TensorShape]:
        """Its matrices, biases and norms."""
        widths = {"attn_q": self.query_width, "attn_k": self.kv_width, "attn_v": self.kv_width}
        if self.fused:
            widths = {"attn_qkv": self.query_width + 2 * self.kv_width}
        for name, width in widths.items():
            yield from linear(name, width, hidden_size, self.bias != "none")
        if self.qk_norm != "none":
            per_head = self.qk_norm == "head"
            yield from norm.tensors("attn_q_norm", self.head_dim if per_head else self.query_width)
            yield from norm.tensors("attn_k_norm", self.head_dim if per_head else self.kv_width)
        yield from linear("attn_output", hidden_size, self.query_width, self.bias == "all")

    def score_multiply_adds(self, context: int, decoding: bool) -> float:
        """Multiply-adds of a token's scores and of its sum of values.

        Of the last token of a context, or of all of them on average.
        """
        window = min(self.window or context, context)
        seen = window if decoding else window - window * (window - 1) / 2 / context
        return 2 * self.query_width * seen

    def kv_bytes(self, type: str) -> int:
        """Bytes of the keys and values of one token; `type` is f16 or q8_0."""
        # In q8_0 every head has groups of its own, the last of which may be shorter: one byte per number and
        # one scale per group.
        scales = 2 * -(-self.head_dim // 32)
        head_bytes = self.head_dim + scales if type == "q8_0" else 2 * self.head_dim
        return 2 * self.num_kv_heads * head_bytes
