"""The central type: one frozen description of a decoder-only transformer.

The same object drives the torch model, the native graph, the cost model and the GGUF metadata.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

Activation = Literal["relu", "relu2", "silu", "gelu", "gelu_tanh"]
FfnKind = Literal["gated", "plain"]
Norm = Literal["rmsnorm", "layernorm", "layernorm_no_bias", "layernorm_nonparametric"]
Position = Literal["rope", "learned", "alibi", "none"]
RopeTable = Literal["float", "int8"]
Bias = Literal["none", "qkv", "all"]


class DecoderConfig(BaseModel):
    """Shape and kind of a decoder-only transformer.

    A field that may differ from layer to layer (`num_heads`, `num_kv_heads`, `intermediate_size`) is one
    number, or a tuple with one number a layer. Raises `ValueError` (pydantic's `ValidationError`) for a
    shape no model can have.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    vocab_size: int = Field(gt=0)
    hidden_size: int = Field(gt=0)
    num_layers: int = Field(gt=0)
    num_heads: int | tuple[int, ...]
    num_kv_heads: int | tuple[int, ...]
    head_dim: int = Field(gt=0)
    intermediate_size: int | tuple[int, ...]
    ffn: FfnKind = "gated"
    activation: Activation = "silu"
    norm: Norm = "rmsnorm"
    norm_eps: float = Field(default=1e-5, gt=0)
    position: Position = "rope"
    rope_theta: float = Field(default=10000.0, gt=0)
    rope_fraction: float = Field(default=1.0, gt=0, le=1)
    """Share of `head_dim` that is rotated."""
    rope_interleaved: bool = False
    """Rotate neighbouring dimensions (2i, 2i+1) instead of the two halves (i, i + d/2)."""
    rope_table: RopeTable = "float"
    """`int8`: cos and sin rounded to `round(127 * x) / 127` (PhoneLM, arXiv 2411.05046)."""
    bias: Bias = "none"
    tie_embeddings: bool = True
    parallel_residual: bool = False
    shared_norm: bool = False
    """One norm feeds attention and FFN (only with `parallel_residual`; Phi-1, Phi-2)."""
    post_norm: bool = False
    """A second norm after attention and after the FFN (Gemma-2)."""
    qk_norm: Literal["none", "head", "full"] = "none"
    """Norm on queries and keys: none, over each head, or over the full width."""
    embedding_norm: bool = False
    """A norm right after the embedding (Bloom)."""
    embedding_size: int | None = None
    """Width of the embedding when it is projected to `hidden_size` and back (OPT-350M)."""
    final_norm: bool = True
    shared_ffn: bool = False
    """One FFN shared by all layers (MobiLlama-0.5B)."""
    learned_position_offset: int = Field(default=0, ge=0)
    """Unused rows in front of a learned position table (OPT: 2)."""
    head_bias: bool = False
    """A bias on the output head (Phi-1, Phi-2)."""
    context_length: int = Field(default=2048, gt=0)

    @field_validator("num_heads", "num_kv_heads", "intermediate_size")
    @classmethod
    def _positive(cls, value: int | tuple[int, ...]) -> int | tuple[int, ...]:
        numbers = (value,) if isinstance(value, int) else value
        if not numbers or any(number <= 0 for number in numbers):
            raise ValueError("must be positive")
        return value

    @model_validator(mode="after")
    def _consistent(self) -> DecoderConfig:
        for name in ("num_heads", "num_kv_heads", "intermediate_size"):
            value = getattr(self, name)
            if isinstance(value, tuple) and len(value) != self.num_layers:
                raise ValueError(f"{name} has {len(value)} entries for {self.num_layers} layers")
        for layer in range(self.num_layers):
            heads, kv_heads = self.heads_at(layer), self.kv_heads_at(layer)
            if heads % kv_heads:
                raise ValueError(f"num_heads {heads} is not a multiple of num_kv_heads {kv_heads}")
        if self.position == "rope" and self.rope_dim % 2:
            raise ValueError(f"the rotated part of a head has {self.rope_dim} dimensions; it must be even")
        if self.shared_norm and not self.parallel_residual:
            raise ValueError("shared_norm needs parallel_residual")
        return self

    @property
    def rope_dim(self) -> int:
        """Number of rotated dimensions of a head."""
        return int(self.head_dim * self.rope_fraction)

    def heads_at(self, layer: int) -> int:
        """Query heads of a layer."""
        return self.num_heads if isinstance(self.num_heads, int) else self.num_heads[layer]

    def kv_heads_at(self, layer: int) -> int:
        """Key and value heads of a layer."""
        return self.num_kv_heads if isinstance(self.num_kv_heads, int) else self.num_kv_heads[layer]

    def intermediate_at(self, layer: int) -> int:
        """FFN width of a layer."""
        size = self.intermediate_size
        return size if isinstance(size, int) else size[layer]

    @property
    def is_uniform(self) -> bool:
        """Whether all layers have one shape (what the native graph and the torch model build)."""
        return not any(
            isinstance(size, tuple) and len(set(size)) > 1
            for size in (self.num_heads, self.num_kv_heads, self.intermediate_size)
        )
