"""The tensors of a decoder, under llama.cpp's GGUF names: the basis of all arithmetic on shapes."""

from __future__ import annotations

from collections.abc import Iterator

from phonelm.arch.config import DecoderConfig
from phonelm.arch.part import Role, TensorShape

__all__ = ["Role", "TensorShape", "layer_tensors", "model_tensors", "outer_tensors"]


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
    return config.layers[layer].tensors(config.hidden_size, has_ffn=not config.shared_ffn)


def _input_tensors(config: DecoderConfig) -> Iterator[TensorShape]:
    yield from config.embedding.tensors(config.vocab_size, config.hidden_size, config.context_length)
    if config.embedding.norm:
        yield from config.norm.tensors("token_embd_norm", config.hidden_size)
    if config.shared_ffn:
        yield from config.layers[0].ffn.tensors(config.hidden_size)
    yield from _rope_tensors(config)


def _rope_tensors(config: DecoderConfig) -> Iterator[TensorShape]:
    names = {"factors": ["rope_freqs"], "longrope": ["rope_factors_long", "rope_factors_short"]}
    lengths = {
        name: layer.mixer.rope.rotated_dims(layer.mixer.head_dim) // 2
        for layer in config.layers
        if layer.mixer.rope and layer.mixer.rope.scaling
        for name in names.get(layer.mixer.rope.scaling.kind, ())
    }
    for name, length in lengths.items():
        yield TensorShape(f"{name}.weight", (length,), "constant")


def _output_tensors(config: DecoderConfig) -> Iterator[TensorShape]:
    if config.head.norm:
        yield from config.norm.tensors("output_norm", config.hidden_size)
    yield from config.head.tensors(config.vocab_size, config.hidden_size, config.embedding)
