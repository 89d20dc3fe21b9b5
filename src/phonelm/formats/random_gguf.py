"""GGUF files of true shapes and random weights, to measure the speed of models that were never trained."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from phonelm.arch.arithmetic import BLOCKS, stored_type
from phonelm.arch.config import DecoderConfig
from phonelm.arch.tensors import TensorShape, model_tensors
from phonelm.formats.byte_vocabulary import byte_tokenizer_metadata
from phonelm.formats.gguf_config import config_metadata
from phonelm.formats.gguf_writer import GgufTensor, LazyTensor, write_gguf
from phonelm.formats.quantization import quantize

# Standard deviation of the levels of a block: uniform nibbles, uniform bytes.
_LEVEL_STD = {"q4_0": 4.61, "q4_1": 4.61, "q8_0": 73.3}


def write_random_gguf(
    path: Path | str,
    config: DecoderConfig,
    block_type: str = "q4_0",
    embedding_type: str = "q8_0",
    seed: int = 0,
) -> None:
    """Write a loadable model with random weights of variance 1 / columns and a tokenizer of bytes.

    Blocks are drawn as bytes, which takes about a second a GB. Raises `ValueError` for a decoder that the
    runtime cannot run, an unknown type, and a vocabulary below 257.
    """
    metadata = {
        **config_metadata(config),
        "general.type": "model",
        "general.name": "random weights",
        "general.quantization_version": 2,
        **byte_tokenizer_metadata(config.vocab_size),
    }
    write_gguf(path, metadata, _tensors(config, block_type, embedding_type, seed))


def _tensors(
    config: DecoderConfig, block_type: str, embedding_type: str, seed: int
) -> Iterator[tuple[str, GgufTensor]]:
    rng = np.random.default_rng(seed)
    for tensor in model_tensors(config):
        if tensor.role == "vector":
            yield tensor.name, np.ones(tensor.shape, np.float32)
        else:
            yield tensor.name, _random(tensor, stored_type(tensor, block_type, embedding_type), rng)


def _random(tensor: TensorShape, weight_type: str, rng: np.random.Generator) -> LazyTensor:
    scale = tensor.shape[-1] ** -0.5
    make = _blocks if weight_type in _LEVEL_STD else _numbers
    return LazyTensor(weight_type, tensor.shape, lambda: make(tensor.shape, weight_type, scale, rng))


def _numbers(
    shape: tuple[int, ...], weight_type: str, scale: float, rng: np.random.Generator
) -> NDArray[np.uint8]:
    return quantize(rng.standard_normal(shape, dtype=np.float32) * np.float32(scale), weight_type)


def _blocks(
    shape: tuple[int, ...], weight_type: str, scale: float, rng: np.random.Generator
) -> NDArray[np.uint8]:
    elements, size = BLOCKS[weight_type]
    count = shape[0] * shape[1] // elements
    blocks = np.frombuffer(bytearray(rng.bytes(count * size)), np.uint8).reshape(count, size)
    steps = rng.random(count, dtype=np.float32) + np.float32(0.5)
    steps *= np.float32(scale / _LEVEL_STD[weight_type])
    blocks[:, :2] = steps.astype(np.float16).view(np.uint8).reshape(count, 2)
    if weight_type == "q4_1":
        blocks[:, 2:4] = (-7.5 * steps).astype(np.float16).view(np.uint8).reshape(count, 2)
    elif weight_type == "q8_0":
        levels = blocks[:, 2:].view(np.int8)
        np.maximum(levels, -127, out=levels)  # quantizers never give -128
    return blocks
