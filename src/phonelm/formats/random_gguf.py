"""GGUF files of true shapes and random weights, to measure the speed of models that were never trained."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from phonelm.arch.arithmetic import BLOCKS, stored_type
from phonelm.arch.config import DecoderConfig
from phonelm.arch.tensors import TensorShape, model_tensors
from phonelm.formats.byte_vocabulary import byte_tokenizer_metadata
from phonelm.formats.gguf_config import gguf_form
from phonelm.formats.gguf_outline import check_written
from phonelm.formats.gguf_writer import GgufTensor, LazyTensor, write_gguf
from phonelm.formats.quantization import quantize
from phonelm.formats.random_blocks import random_blocks

# Channels that hold the same number for every token and layer when a share of neurons is to be dead.
_CONSTANT_CHANNELS = 64


def write_random_gguf(
    path: Path | str,
    config: DecoderConfig,
    block_type: str = "q4_0",
    embedding_type: str = "q8_0",
    seed: int = 0,
    dead_fraction: float | None = None,
    head_type: str | None = None,
) -> None:
    """Write a loadable model with random weights of variance 1 / columns and a tokenizer of bytes.

    `head_type` is that of an untied head, None: the embedding's.
    `dead_fraction` is the expected share of FFN neurons whose gate is negative, others for each token (half
    of them without it): a few channels of the residual are constant, and each gate's weights there move its
    normal distribution. Blocks are drawn as bytes, which takes about a second a GB. Raises `ValueError` for a
    decoder that the runtime cannot run, an unknown type, a vocabulary below 257, and a dead fraction that is
    not between 0 and 1 or not for a ReLU FFN.
    """
    form = gguf_form(config)
    metadata = {
        **form.keys,
        "general.type": "model",
        "general.name": "random weights",
        "general.quantization_version": 2,
        **byte_tokenizer_metadata(config.vocab_size),
    }
    if dead_fraction is not None:
        _check_dead(config, dead_fraction)
    tensors = _tensors(config, (block_type, embedding_type, head_type), seed, dead_fraction)
    write_gguf(path, metadata, tensors, lambda written: check_written(written, form.understood))


def _check_dead(config: DecoderConfig, dead_fraction: float) -> None:
    if not 0 < dead_fraction < 1:
        raise ValueError(f"the dead fraction is {dead_fraction}; give a number between 0 and 1")
    activation = config.layers[0].ffn.activation
    if activation not in ("relu", "relu2"):
        raise ValueError(f"{activation} has no dead neurons; take a decoder with relu or relu2")


def _tensors(
    config: DecoderConfig, types: tuple[str, str, str | None], seed: int, dead_fraction: float | None
) -> Iterator[tuple[str, GgufTensor]]:
    block_type, embedding_type, head_type = types
    rng = np.random.default_rng(seed)
    for tensor in model_tensors(config):
        if tensor.role in ("vector", "constant"):
            yield tensor.name, np.ones(tensor.shape, np.float32)
            continue
        outer_type = head_type if head_type and tensor.role == "head" else embedding_type
        weight_type = stored_type(tensor, block_type, outer_type)
        if dead_fraction is None:
            yield tensor.name, _random(tensor, weight_type, tensor.shape[-1] ** -0.5, rng)
        else:
            yield tensor.name, _with_dead(config, tensor, weight_type, dead_fraction, rng)


def _random(tensor: TensorShape, weight_type: str, scale: float, rng: np.random.Generator) -> LazyTensor:
    make = random_blocks if BLOCKS[weight_type][0] > 1 else _numbers
    return LazyTensor(weight_type, tensor.shape, lambda: make(tensor.shape, weight_type, scale, rng))


def _with_dead(
    config: DecoderConfig,
    tensor: TensorShape,
    weight_type: str,
    dead_fraction: float,
    rng: np.random.Generator,
) -> LazyTensor:
    """The embedding is 1 in the constant channels and has variance 1 elsewhere; nothing adds to the former
    and little to the latter, so that a gate's input keeps its distribution through all layers.
    """
    scale = tensor.shape[-1] ** -0.5
    if tensor.role == "embedding":
        return _changed(_random(tensor, weight_type, 1.0, rng), columns=1.0)
    if tensor.name.endswith(("attn_output.weight", "ffn_down.weight")):
        return _changed(_random(tensor, weight_type, 0.1 * scale, rng), rows=0.0)
    gate = "ffn_gate.weight" if config.layers[0].ffn.gated else "ffn_up.weight"
    if tensor.name.endswith(gate):
        deviation = (1 - _CONSTANT_CHANNELS / config.hidden_size) ** 0.5
        shift = -deviation * NormalDist().inv_cdf(dead_fraction) / _CONSTANT_CHANNELS
        return _changed(_random(tensor, weight_type, scale, rng), columns=shift)
    return _random(tensor, weight_type, scale, rng)


def _changed(tensor: LazyTensor, columns: float | None = None, rows: float | None = None) -> LazyTensor:
    """The tensor with one number in the constant channels, being its first columns or rows."""
    elements, size = BLOCKS[tensor.type]

    def make() -> NDArray[np.uint8]:
        data = tensor.make().reshape(tensor.shape[0], tensor.shape[1] // elements, size).copy()
        value = columns if columns is not None else rows
        block = quantize(np.full((1, elements), value, np.float32), tensor.type).reshape(size)
        if columns is not None:
            data[:, : _CONSTANT_CHANNELS // elements] = block
        else:
            data[:_CONSTANT_CHANNELS] = block
        return data

    return LazyTensor(tensor.type, tensor.shape, make)


def _numbers(
    shape: tuple[int, ...], weight_type: str, scale: float, rng: np.random.Generator
) -> NDArray[np.uint8]:
    return quantize(rng.standard_normal(shape, dtype=np.float32) * np.float32(scale), weight_type)
