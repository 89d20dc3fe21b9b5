"""What a family of decoders tells of itself: LLaMA's conventions, of which each overrides what is its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from phonelm.arch import ANY, DecoderConfig, Layer, Norm, Support, features
from phonelm.arch.attention import AttentionBias
from phonelm.arch.tensors import TensorShape

Floats = NDArray[np.float32]

COMMON_FEATURES: dict[str, Any] = {
    "layers.norm.eps": ANY,
    "norm.eps": ANY,
    "layers.mixer.rope.theta": ANY,
    "head.tied": ANY,
}
"""What a decoder of every family may have."""
LINEAR_SCALINGS: dict[str, Any] = {
    "layers.mixer.rope.scaling": ANY,
    "layers.mixer.rope.scaling.kind": ("linear", "yarn"),
}
"""The scalings of RoPE that GGUF has keys for in every architecture."""


class Family:
    """A family's GGUF keys, Hugging Face keys, tensor names, and what its decoders may have.

    What a GGUF architecture's name implies stands in the core alone: what is written is read back by it.
    """

    architecture: ClassVar[str]
    """`general.architecture` of GGUF."""
    model_type: ClassVar[str]
    """Of config.json."""
    features: ClassVar[Mapping[str, Any]] = {}
    """What its decoders may have beside `COMMON_FEATURES`, by the paths of `arch.Support`."""
    required: ClassVar[tuple[str, ...]] = ()
    """Features that readers of its files count on, where the core would take others too."""
    varying: ClassVar[tuple[str, ...]] = ()
    """Fields of attention in which layers may differ."""
    interleaves_rows: ClassVar[bool] = False
    """GGUF stores the rows of q and k for interleaved RoPE."""
    held_by_tensors: ClassVar[frozenset[str]] = frozenset()
    """Features that no key of a GGUF file tells because they go into its tensors."""
    tensor_names: ClassVar[Mapping[str, str]] = {}
    """Names of a layer's tensors other than `LAYER_NAMES`."""

    default_activation: ClassVar[str] = "silu"
    activation_key: ClassVar[str] = "hidden_act"
    default_norm_eps: ClassVar[float] = 1e-6
    default_theta: ClassVar[float] = 10000.0
    default_context: ClassVar[int] = 2048
    default_head_dim: ClassVar[int | None] = None
    """None: hidden_size / num_attention_heads."""
    tied_by_default: ClassVar[bool] = False
    scales_embedding: ClassVar[bool] = False
    has_windows: ClassVar[bool] = False
    rotates_a_part: ClassVar[bool] = False
    rope_kinds: ClassVar[Mapping[str, str]] = {
        kind: kind for kind in ("linear", "llama3", "longrope", "yarn")
    }
    """What the `rope_type`s of config.json mean."""

    hf_class: ClassVar[str]
    """Of config.json's `architectures`."""

    @cached_property
    def support(self) -> Support:
        """What a GGUF file of this architecture can hold, but for how its layers may differ."""
        return Support("the runtime", {**COMMON_FEATURES, **self.features}, uniform=False)

    def lacking(self, config: DecoderConfig) -> Iterator[str]:
        """Everything in a decoder that a GGUF file of this architecture cannot hold, as `path = value`."""
        yield from self.support.lacking(config)
        away = features(config)
        yield from (f"{path} = False" for path in self.required if path not in away)
        without = dict.fromkeys(self.varying)
        if len({changed(layer, mixer=without) for layer in dict.fromkeys(config.layers)}) > 1:
            yield "layers = different ones"

    def gguf_keys(self, config: DecoderConfig) -> dict[str, Any]:
        """The keys that only this architecture has, without its prefix."""
        return {}

    def completing_keys(self, config: DecoderConfig, understood: DecoderConfig) -> dict[str, Any]:
        """Keys for what the reader understands in another way without them."""
        return {}

    def hf_norm(self, document: Mapping[str, Any]) -> Norm:
        """The norm of all layers and of their end."""
        return Norm(eps=float(document.get("rms_norm_eps", self.default_norm_eps)))

    def hf_layers(self, document: Mapping[str, Any], layer: Layer, num_layers: int) -> tuple[Layer, ...]:
        """The layers that a config.json describes; `layer` has what all families' keys tell."""
        return (layer,) * num_layers

    def hf_biases(self, document: Mapping[str, Any]) -> tuple[AttentionBias, bool]:
        """The biases of attention, and whether the FFN has some."""
        return "all" if document.get("attention_bias") else "none", bool(document.get("mlp_bias"))

    def hf_keys(self, config: DecoderConfig) -> dict[str, Any]:
        """The keys of a written config.json that only this model type has."""
        return {}

    def hf_name(self, gguf_name: str) -> str:
        """Hugging Face's name of a GGUF tensor."""
        *place, part, suffix = gguf_name.split(".")
        if not place:
            return f"{OUTER_NAMES[part]}.{suffix}"
        names = {**LAYER_NAMES, **self.tensor_names}
        return f"model.layers.{place[1]}.{names[part]}.{suffix}"

    def stored_values(
        self, values: Floats, tensor: TensorShape, config: DecoderConfig, understood: DecoderConfig
    ) -> Floats:
        """The numbers of a checkpoint's tensor as a GGUF file stores them.

        `understood` is the decoder that the file's keys tell of.
        """
        index, part = place_of(tensor.name)
        if self.interleaves_rows and part in ("attn_q", "attn_k"):
            return permute_rows(values, config.layers[index].mixer.head_dim)
        return values

    def checkpoint_values(self, values: Floats, tensor: TensorShape, config: DecoderConfig) -> Floats:
        """The numbers of a GGUF file's tensor as a checkpoint has them: the way back of `stored_values`.

        `config` is the decoder that the file's keys tell of.
        """
        index, part = place_of(tensor.name)
        if self.interleaves_rows and part in ("attn_q", "attn_k"):
            return restore_rows(values, config.layers[index].mixer.head_dim)
        return values


OUTER_NAMES = {
    "token_embd": "model.embed_tokens",
    "output_norm": "model.norm",
    "output": "lm_head",
}
LAYER_NAMES = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_qkv": "self_attn.qkv_proj",
    "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


def place_of(gguf_name: str) -> tuple[int, str]:
    """The layer of a tensor (0 outside the layers) and the name of its part."""
    parts = gguf_name.split(".")
    return (int(parts[1]) if parts[0] == "blk" else 0), parts[-2]


def permute_rows(values: Floats, head_dim: int) -> Floats:
    """Interleave the two halves of each head: row i + j * head_dim / 2 of a head goes to row 2 * i + j.

    As `LlamaModel.permute` of llama.cpp's convert_hf_to_gguf.py, for matrices and biases.
    """
    halves = values.reshape(-1, 2, head_dim // 2, *values.shape[1:])
    return np.ascontiguousarray(halves.swapaxes(1, 2)).reshape(values.shape)


def restore_rows(values: Floats, head_dim: int) -> Floats:
    """The way back of `permute_rows`: row 2 * i + j of a head goes to row i + j * head_dim / 2."""
    pairs = values.reshape(-1, head_dim // 2, 2, *values.shape[1:])
    return np.ascontiguousarray(pairs.swapaxes(1, 2)).reshape(values.shape)


def rotating_layer(config: DecoderConfig) -> Layer:
    """The first layer that rotates, without a window where there is one; or the first."""
    rotating = [layer for layer in config.layers if layer.mixer.rope is not None]
    return next((layer for layer in rotating if layer.mixer.window is None), [*rotating, config.layers[0]][0])


def changed(layer: Layer, **parts: Mapping[str, Any]) -> Layer:
    """A layer some of whose parts have other fields: `changed(layer, ffn={"gated": False})`."""
    copies = {name: getattr(layer, name).model_copy(update=fields) for name, fields in parts.items()}
    return layer.model_copy(update=copies)
