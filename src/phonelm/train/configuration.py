"""`PhoneLMConfig`: the Hugging Face configuration of the decoders trained here and of published PhoneLM."""

# The base class of transformers carries no types.
# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

import math
from typing import Any

from huggingface_hub.dataclasses import strict
from transformers import PreTrainedConfig

from phonelm.arch import ANY, DecoderConfig, Support
from phonelm.train.norms import NORMS

ACTIVATIONS = ("relu", "relu2", "silu")
ROPE_TABLES = ("int8_per_call", "int8", "float")
SUPPORT = Support(
    "the torch model",
    {
        "layers.ffn.gated": ANY,
        "layers.ffn.activation": ACTIVATIONS,
        "layers.mixer.rope.theta": ANY,
        "layers.mixer.rope.table": ANY,
        "layers.norm.kind": tuple(NORMS),
        "layers.norm.eps": ANY,
        "norm.kind": tuple(NORMS),
        "norm.eps": ANY,
        "head.tied": ANY,
    },
)


@strict
class PhoneLMConfig(PreTrainedConfig):
    """Shape and kind of a PhoneLM decoder; the defaults are PhoneLM-0.5B (arXiv 2411.05046).

    Fields have `LlamaConfig`'s names. Beyond it: `ffn_gated` (gate and up, or one up projection),
    `norm_kind` (of `phonelm.train.norms`; `rms_norm_eps` is its eps whichever it is), and `rope_table`:
    `int8_per_call` scales the table by the largest entry of each call, as the published code does; `int8` is
    the fixed `round(127 * x) / 127` of the runtime; `float` is the plain rotary embedding.
    """

    model_type = "phonelm"
    keys_to_ignore_at_inference = ("past_key_values",)

    vocab_size: int = 49152
    hidden_size: int = 1024
    intermediate_size: int = 4864
    num_hidden_layers: int = 24
    num_attention_heads: int = 16
    num_key_value_heads: int | None = None
    head_dim: int | None = None
    hidden_act: str = "relu"
    ffn_gated: bool = True
    rope_table: str = "int8_per_call"
    rope_theta: float | int = 10000.0
    norm_kind: str = "rmsnorm"
    rms_norm_eps: float = 1e-6
    max_position_embeddings: int = 2048
    initializer_range: float = 0.02
    tie_word_embeddings: bool = True
    use_cache: bool = True
    pad_token_id: int | None = None
    bos_token_id: int | None = 1
    eos_token_id: int | list[int] | None = 2
    attention_bias: bool = False
    attention_dropout: float | int | None = 0.0
    mlp_bias: bool = False

    def __post_init__(self, **kwargs: Any) -> None:
        if self.num_key_value_heads is None:
            self.num_key_value_heads = self.num_attention_heads
        if self.head_dim is None:
            self.head_dim = self.hidden_size // self.num_attention_heads
        # Older and newer transformers write the rotary base in different places.
        for name in ("rope_scaling", "rope_parameters"):
            rope = kwargs.pop(name, None) or {}
            if rope.get("rope_type", rope.get("type", "default")) != "default":
                raise ValueError(
                    f"{name} {rope} is not supported; PhoneLM has the plain rotary embedding only"
                )
            self.rope_theta = rope.get("rope_theta", self.rope_theta)
        super().__post_init__(**kwargs)

    def validate_architecture(self) -> None:
        """Refuse what the model cannot compute; part of `@strict` validation."""
        kv_heads = self.num_key_value_heads or self.num_attention_heads
        if self.num_attention_heads % kv_heads:
            raise ValueError(
                f"num_attention_heads {self.num_attention_heads} is not a multiple of "
                f"num_key_value_heads {kv_heads}"
            )
        if self.head_dim and self.head_dim % 2:
            raise ValueError(f"head_dim {self.head_dim} is odd; the rotary embedding rotates pairs")
        if self.hidden_act not in ACTIVATIONS:
            raise ValueError(
                f"hidden_act {self.hidden_act!r} is unknown; choose one of {', '.join(ACTIVATIONS)}"
            )
        if self.norm_kind not in NORMS:
            raise ValueError(f"norm_kind {self.norm_kind!r} is unknown; choose one of {', '.join(NORMS)}")
        if self.rope_table not in ROPE_TABLES:
            raise ValueError(
                f"rope_table {self.rope_table!r} is unknown; choose one of {', '.join(ROPE_TABLES)}"
            )
        if self.attention_bias or self.mlp_bias or self.attention_dropout:
            raise ValueError(
                "PhoneLM has no biases and no dropout; set attention_bias, mlp_bias and dropout to 0"
            )


def decoder_to_hf(decoder: DecoderConfig) -> PhoneLMConfig:
    """The Hugging Face configuration of a decoder.

    Raises `ValueError` naming the first feature the torch model does not have (layers of different widths,
    LayerNorm, biases, other positions than rotary, ...).
    """
    SUPPORT.refuse(decoder)
    layer = decoder.layers[0]
    mixer, ffn, rope = layer.mixer, layer.ffn, layer.mixer.rope
    assert rope is not None, "neutral"
    return PhoneLMConfig(
        vocab_size=decoder.vocab_size,
        hidden_size=decoder.hidden_size,
        intermediate_size=ffn.intermediate_size,
        num_hidden_layers=decoder.num_layers,
        num_attention_heads=mixer.num_heads,
        num_key_value_heads=mixer.num_kv_heads,
        head_dim=mixer.head_dim,
        hidden_act=ffn.activation,
        ffn_gated=ffn.gated,
        rope_table=rope.table,
        rope_theta=rope.theta,
        norm_kind=layer.norm.kind,
        rms_norm_eps=layer.norm.eps,
        max_position_embeddings=decoder.context_length,
        # Narrow models start too slowly from 0.02; sqrt(2 / 5d), arXiv 1910.05895, is 0.02 for 1000.
        initializer_range=max(0.02, math.sqrt(0.4 / decoder.hidden_size)),
        tie_word_embeddings=decoder.head.tied,
    )
