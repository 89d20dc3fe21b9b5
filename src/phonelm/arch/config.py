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
Bias = Literal["none", "qkv", "attention", "ffn", "all"]


class RopeScaling(BaseModel):
    """How rotary frequencies are stretched over longer contexts than the model began with.

    `linear` and `yarn` (arXiv 2309.00071) divide by `factor`, YaRN only the slow dimensions; `factors`
    divides each dimension by its own (Llama 3); `longrope` (arXiv 2402.13753) too, by `long_factors` where a
    sequence may grow beyond `original_context`. Factors that only a file's tensors hold are None.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

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
    rope_scaling: RopeScaling | None = None
    rope_layers: tuple[bool, ...] | None = None
    """Whether each layer rotates queries and keys; None: all do (SmolLM3 leaves out every fourth)."""
    sliding_window: int | None = Field(default=None, gt=0)
    """How many tokens a token sees, itself included, in layers with a window."""
    sliding_layers: tuple[bool, ...] | None = None
    """Whether each layer has the window; None: all have."""
    sliding_rope_theta: float | None = Field(default=None, gt=0)
    """Base of the layers with a window, not scaled, where it is another (Gemma-3)."""
    attention_scale: float | None = Field(default=None, gt=0)
    """Factor of the products of queries and keys; None: 1 / sqrt(head_dim)."""
    rope_table: RopeTable = "float"
    """`int8`: cos and sin rounded to `round(127 * x) / 127` (PhoneLM, arXiv 2411.05046)."""
    bias: Bias = "none"
    """`qkv`: queries, keys and values; `attention`: its output too; `ffn`: the FFN's matrices."""
    fused_projections: bool = False
    """Query, key and value are one matrix, gate and up another (Phi-3)."""
    scale_embedding: bool = False
    """The embedding is multiplied by sqrt(hidden_size) (Gemma)."""
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
        for name in ("rope_layers", "sliding_layers"):
            flags = getattr(self, name)
            if flags is not None and len(flags) != self.num_layers:
                raise ValueError(f"{name} has {len(flags)} entries for {self.num_layers} layers")
        self._check_factors()
        for layer in range(self.num_layers):
            heads, kv_heads = self.heads_at(layer), self.kv_heads_at(layer)
            if heads % kv_heads:
                raise ValueError(f"num_heads {heads} is not a multiple of num_kv_heads {kv_heads}")
        if self.position == "rope" and self.rope_dim % 2:
            raise ValueError(f"the rotated part of a head has {self.rope_dim} dimensions; it must be even")
        if self.shared_norm and not self.parallel_residual:
            raise ValueError("shared_norm needs parallel_residual")
        return self

    def _check_factors(self) -> None:
        if self.rope_scaling is None:
            return
        num_frequencies = self.rope_dim // 2
        for factors in (self.rope_scaling.factors, self.rope_scaling.long_factors):
            if factors is not None and len(factors) != num_frequencies:
                raise ValueError(f"RoPE has {num_frequencies} frequencies and {len(factors)} factors")

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

    def rotates_at(self, layer: int) -> bool:
        """Whether a layer rotates queries and keys."""
        return self.rope_layers is None or self.rope_layers[layer]

    def window_at(self, layer: int) -> int | None:
        """How many tokens a token sees in a layer; None: all before it."""
        has_window = self.sliding_layers is None or self.sliding_layers[layer]
        return self.sliding_window if has_window else None

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
