"""The tensors of a decoder, under llama.cpp's GGUF names: the ground of all arithmetic on shapes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from phonelm.arch.config import DecoderConfig

Role = Literal["embedding", "position", "head", "matrix", "vector", "constant"]


@dataclass(frozen=True, slots=True)
class TensorShape:
    """One tensor: GGUF name, shape (rows, columns) or (length,), and what it is for.

    `head` is the untied output matrix, `matrix` any other weight of a matrix product, `vector` a norm or
    bias, `constant` what is no parameter.
    """

    name: str
    shape: tuple[int, ...]
    role: Role

    @property
    def size(self) -> int:
        """Number of elements."""
        return self.shape[0] * (self.shape[1] if len(self.shape) == 2 else 1)


def model_tensors(config: DecoderConfig) -> Iterator[TensorShape]:
    """All tensors, in the order of a GGUF file."""
    yield from _input_tensors(config)
    for layer in range(config.num_layers):
        for tensor in layer_tensors(config, layer):
            yield TensorShape(f"blk.{layer}.{tensor.name}", tensor.shape, tensor.role)
    yield from _output_tensors(config)


def outer_tensors(config: DecoderConfig) -> list[TensorShape]:
    """The tensors outside the layers: embedding, shared FFN, final norm, head."""
    return [*_input_tensors(config), *_output_tensors(config)]


def layer_tensors(config: DecoderConfig, layer: int) -> list[TensorShape]:
    """The tensors of one layer, names without `blk.N.`."""
    tensors = [*_norm(config, "attn_norm", config.hidden_size), *_attention(config, layer)]
    if config.post_norm:
        tensors += _norm(config, "post_attention_norm", config.hidden_size)
    if not config.shared_norm:
        tensors += _norm(config, "ffn_norm", config.hidden_size)
    if not config.shared_ffn:
        tensors += _ffn(config, layer)
    if config.post_norm:
        tensors += _norm(config, "post_ffw_norm", config.hidden_size)
    return tensors


def _attention(config: DecoderConfig, layer: int) -> Iterator[TensorShape]:
    query = config.heads_at(layer) * config.head_dim
    key = config.kv_heads_at(layer) * config.head_dim
    biased = config.bias in ("qkv", "attention", "all")
    widths = {"attn_q": query, "attn_k": key, "attn_v": key}
    if config.fused_projections:
        widths = {"attn_qkv": query + 2 * key}
    for name, width in widths.items():
        yield from _linear(name, width, config.hidden_size, biased)
    if config.qk_norm != "none":
        per_head = config.qk_norm == "head"
        yield from _norm(config, "attn_q_norm", config.head_dim if per_head else query)
        yield from _norm(config, "attn_k_norm", config.head_dim if per_head else key)
    yield from _linear("attn_output", config.hidden_size, query, config.bias in ("attention", "all"))


def _ffn(config: DecoderConfig, layer: int) -> Iterator[TensorShape]:
    width, biased = config.intermediate_at(layer), config.bias in ("ffn", "all")
    fused = config.ffn == "gated" and config.fused_projections
    if config.ffn == "gated" and not fused:
        yield from _linear("ffn_gate", width, config.hidden_size, biased)
    yield from _linear("ffn_up", 2 * width if fused else width, config.hidden_size, biased)
    yield from _linear("ffn_down", config.hidden_size, width, biased)


def _input_tensors(config: DecoderConfig) -> Iterator[TensorShape]:
    width = config.embedding_size or config.hidden_size
    yield TensorShape("token_embd.weight", (config.vocab_size, width), "embedding")
    if config.position == "learned":
        positions = config.context_length + config.learned_position_offset
        yield TensorShape("position_embd.weight", (positions, config.hidden_size), "position")
    if config.embedding_norm:
        yield from _norm(config, "token_embd_norm", config.hidden_size)
    if config.embedding_size is not None:
        yield from _linear("project_in", config.hidden_size, width, False)
    if config.shared_ffn:
        yield from _ffn(config, 0)
    yield from _rope_tensors(config)


def _rope_tensors(config: DecoderConfig) -> Iterator[TensorShape]:
    kind = config.rope_scaling.kind if config.rope_scaling else None
    names = {"factors": ["rope_freqs"], "longrope": ["rope_factors_long", "rope_factors_short"]}
    for name in names.get(kind or "", ()):
        yield TensorShape(f"{name}.weight", (config.rope_dim // 2,), "constant")


def _output_tensors(config: DecoderConfig) -> Iterator[TensorShape]:
    width = config.embedding_size or config.hidden_size
    if config.final_norm:
        yield from _norm(config, "output_norm", config.hidden_size)
    if config.embedding_size is not None:
        yield from _linear("project_out", width, config.hidden_size, False)
    if not config.tie_embeddings:
        yield TensorShape("output.weight", (config.vocab_size, width), "head")
    if config.head_bias:
        yield TensorShape("output.bias", (config.vocab_size,), "vector")


def _linear(name: str, rows: int, columns: int, biased: bool) -> Iterator[TensorShape]:
    yield TensorShape(f"{name}.weight", (rows, columns), "matrix")
    if biased:
        yield TensorShape(f"{name}.bias", (rows,), "vector")


def _norm(config: DecoderConfig, name: str, length: int) -> list[TensorShape]:
    if config.norm == "layernorm_nonparametric":
        return []
    weight = TensorShape(f"{name}.weight", (length,), "vector")
    if config.norm != "layernorm":
        return [weight]
    return [weight, TensorShape(f"{name}.bias", (length,), "vector")]
