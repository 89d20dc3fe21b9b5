"""The tensors of a Hugging Face checkpoint as GGUF wants them: names, order of rows, offsets."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from phonelm.arch.config import DecoderConfig
from phonelm.arch.tensors import TensorShape
from phonelm.formats.gguf_architectures import (
    PERMUTED_ARCHITECTURES,
    gemma3_attention_scale,
    gguf_architecture,
    rotating_layer,
)
from phonelm.formats.safetensors_reader import Checkpoint

_OUTER_NAMES = {
    "token_embd.weight": "model.embed_tokens.weight",
    "output_norm.weight": "model.norm.weight",
    "output.weight": "lm_head.weight",
}
_LAYER_NAMES = {
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
_OTHER_NAMES = {
    "gemma3": {
        "post_attention_norm": "post_attention_layernorm",
        "ffn_norm": "pre_feedforward_layernorm",
        "post_ffw_norm": "post_feedforward_layernorm",
    },
    "phi3": {"ffn_up": "mlp.gate_up_proj"},
}


def hf_name(gguf_name: str, architecture: str = "llama") -> str:
    """Hugging Face's name of a GGUF tensor."""
    if gguf_name in _OUTER_NAMES:
        return _OUTER_NAMES[gguf_name]
    _, layer, part, suffix = gguf_name.split(".")
    names = _LAYER_NAMES | _OTHER_NAMES.get(architecture, {})
    return f"model.layers.{layer}.{names[part]}.{suffix}"


def gguf_values(
    checkpoint: Checkpoint, config: DecoderConfig, tensor: TensorShape
) -> tuple[NDArray[np.float32], str]:
    """A tensor's numbers, and the name they have in the checkpoint or in config.json."""
    if tensor.role == "constant":
        return _rope_factors(config, tensor.name), "rope_parameters"
    architecture = gguf_architecture(config)
    name = hf_name(tensor.name, architecture)
    values = checkpoint.load(name)
    part = tensor.name.split(".")[-2]
    if architecture in PERMUTED_ARCHITECTURES and part in ("attn_q", "attn_k"):
        values = permute_rows(values, config.layers[0].mixer.head_dim)
    if architecture == "gemma3" and tensor.role == "vector":
        # Gemma multiplies by 1 + weight.
        values = values + np.float32(1.0)
        if part == "attn_q_norm":
            values = values * np.float32(_query_factor(config))
    return values, name


def _query_factor(config: DecoderConfig) -> float:
    """A scale that GGUF has no key for goes into the norm that comes right before it."""
    mixer = config.layers[0].mixer
    if mixer.scale is None:
        return 1.0
    sizes = (config.num_layers, config.hidden_size, mixer.num_heads, mixer.head_dim)
    return mixer.scale / gemma3_attention_scale(*sizes)


def _rope_factors(config: DecoderConfig, name: str) -> NDArray[np.float32]:
    rope = rotating_layer(config).mixer.rope
    assert rope is not None
    assert rope.scaling is not None
    factors = rope.scaling.long_factors if "long" in name else rope.scaling.factors
    assert factors is not None, "config_from_hf sets them"
    return np.array(factors, np.float32)


def permute_rows(values: NDArray[np.float32], head_dim: int) -> NDArray[np.float32]:
    """Interleave the two halves of each head: row i + j * head_dim / 2 of a head goes to row 2 * i + j.

    As `LlamaModel.permute` of llama.cpp's convert_hf_to_gguf.py, for matrices and biases.
    """
    halves = values.reshape(-1, 2, head_dim // 2, *values.shape[1:])
    return np.ascontiguousarray(halves.swapaxes(1, 2)).reshape(values.shape)
