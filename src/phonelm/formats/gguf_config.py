"""DecoderConfig to and from GGUF metadata.

Three architectures: `llama` (gated SiLU), `arcee` (plain squared ReLU), both as stock llama.cpp reads them,
with the rows of q and k permuted for interleaved RoPE; and `phonelm` for every other decoder of the runtime,
not permuted.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import Any

from phonelm.arch.config import DecoderConfig

PERMUTED_ARCHITECTURES = ("llama", "arcee")
"""Architectures whose q and k rows are stored for interleaved RoPE."""

_SUPPORTED: dict[str, tuple[Any, ...]] = {
    "activation": ("relu", "relu2", "silu"),
    "norm": ("rmsnorm",),
    "position": ("rope",),
    "rope_fraction": (1.0,),
    "rope_interleaved": (False,),
    "bias": ("none",),
    "parallel_residual": (False,),
    "post_norm": (False,),
    "qk_norm": ("none",),
    "embedding_norm": (False,),
    "embedding_size": (None,),
    "final_norm": (True,),
    "shared_ffn": (False,),
    "head_bias": (False,),
    "is_uniform": (True,),
}


def gguf_architecture(config: DecoderConfig) -> str:
    """The `general.architecture` of a decoder; `ValueError` if the runtime cannot run it."""
    for name, allowed in _SUPPORTED.items():
        if getattr(config, name) not in allowed:
            raise ValueError(f"the runtime has no decoders with {name} = {getattr(config, name)}")
    if config.rope_table == "float" and (config.ffn, config.activation) == ("gated", "silu"):
        return "llama"
    if config.rope_table == "float" and (config.ffn, config.activation) == ("plain", "relu2"):
        return "arcee"
    return "phonelm"


def config_metadata(config: DecoderConfig) -> dict[str, Any]:
    """The architecture's GGUF keys. Raises `ValueError` for a decoder that the runtime cannot run."""
    arch = gguf_architecture(config)
    metadata: dict[str, Any] = {
        "general.architecture": arch,
        f"{arch}.context_length": config.context_length,
        f"{arch}.embedding_length": config.hidden_size,
        f"{arch}.block_count": config.num_layers,
        f"{arch}.feed_forward_length": config.intermediate_at(0),
        f"{arch}.attention.head_count": config.heads_at(0),
        f"{arch}.attention.head_count_kv": config.kv_heads_at(0),
        f"{arch}.attention.key_length": config.head_dim,
        f"{arch}.attention.value_length": config.head_dim,
        f"{arch}.attention.layer_norm_rms_epsilon": config.norm_eps,
        f"{arch}.rope.dimension_count": config.rope_dim,
        f"{arch}.rope.freq_base": config.rope_theta,
        f"{arch}.vocab_size": config.vocab_size,
    }
    if arch == "phonelm":
        metadata["phonelm.hidden_activation"] = config.activation
        metadata["phonelm.ffn_gated"] = config.ffn == "gated"
        metadata["phonelm.rope.table"] = config.rope_table
    return metadata


def config_from_gguf(metadata: Mapping[str, Any], tensor_types: Container[str]) -> DecoderConfig:
    """The decoder that a GGUF file holds.

    `metadata` are the file's keys, `tensor_types` anything that knows the names of its tensors. The storage
    order of q and k is no part of the configuration. Raises `ValueError` for another architecture, a missing
    key, or a feature that the runtime lacks.
    """
    arch = metadata.get("general.architecture")
    if arch not in (*PERMUTED_ARCHITECTURES, "phonelm"):
        raise ValueError(f"GGUF architecture {arch!r} is not supported; use llama, arcee or phonelm files")
    _refuse_extras(metadata, tensor_types, arch)

    def get(key: str, *default: Any) -> Any:
        return _get(metadata, f"{arch}.{key}", *default)

    heads, hidden = _scalar(get("attention.head_count")), int(get("embedding_length"))
    head_dim = int(get("attention.key_length", hidden // max(heads, 1))) or 1
    vocab = get("vocab_size", len(metadata.get("tokenizer.ggml.tokens", ())) or None)
    if vocab is None:
        raise ValueError(f"GGUF metadata lack {arch}.vocab_size; convert the model again")
    return DecoderConfig(
        vocab_size=int(vocab),
        hidden_size=hidden,
        num_layers=int(get("block_count")),
        num_heads=heads,
        num_kv_heads=_scalar(get("attention.head_count_kv", heads)),
        head_dim=head_dim,
        intermediate_size=_scalar(get("feed_forward_length")),
        norm_eps=_decimal(get("attention.layer_norm_rms_epsilon")),
        rope_theta=_decimal(get("rope.freq_base", 10000.0)),
        rope_fraction=int(get("rope.dimension_count", head_dim)) / head_dim,
        tie_embeddings="output.weight" not in tensor_types,
        context_length=int(get("context_length")),
        **_ffn(metadata, arch),
    )


def _ffn(metadata: Mapping[str, Any], arch: str) -> dict[str, Any]:
    if arch == "llama":
        return {"ffn": "gated", "activation": "silu"}
    if arch == "arcee":
        return {"ffn": "plain", "activation": "relu2"}
    return {
        "ffn": "gated" if _get(metadata, "phonelm.ffn_gated", True) else "plain",
        "activation": _get(metadata, "phonelm.hidden_activation"),
        "rope_table": _get(metadata, "phonelm.rope.table", "float"),
    }


def _refuse_extras(metadata: Mapping[str, Any], tensor_types: Container[str], arch: str) -> None:
    if metadata.get(f"{arch}.rope.scaling.type", "none") != "none" or "rope_freqs.weight" in tensor_types:
        raise ValueError("the file scales RoPE frequencies, which the runtime does not support")
    if metadata.get(f"{arch}.expert_count"):
        raise ValueError("the file holds a mixture of experts, which the runtime does not support")
    if "blk.0.attn_q.bias" in tensor_types:
        raise ValueError("the file has biases in its attention, which the runtime does not support")


def _get(metadata: Mapping[str, Any], key: str, *default: Any) -> Any:
    if key in metadata:
        return metadata[key]
    if default:
        return default[0]
    raise ValueError(f"GGUF metadata lack {key}; convert the model again")


def _scalar(value: Any) -> int:
    if not isinstance(value, list | tuple):
        return int(value)
    if len(set(value)) != 1:
        raise ValueError("layers of different sizes are not supported by the runtime")
    return int(value[0])


def _decimal(value: float) -> float:
    """The shortest decimal that is this number in float32 (GGUF keeps 1e-5 as 9.9999997e-06)."""
    return float(f"{value:.7g}")
