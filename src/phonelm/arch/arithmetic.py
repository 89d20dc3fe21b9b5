"""What a shape costs: parameters, operations per token, bytes of weights and of the KV cache."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from phonelm.arch.config import DecoderConfig, runs
from phonelm.arch.layer import Layer
from phonelm.arch.part import TensorShape
from phonelm.arch.tensors import outer_tensors

Phase = Literal["prefill", "decode"]
Repeat = Sequence[Any] | None

BLOCKS: dict[str, tuple[int, int]] = {
    "f32": (1, 4),
    "f16": (1, 2),
    "bf16": (1, 2),
    "q8_0": (32, 34),
    "q4_0": (32, 18),
    "q4_1": (32, 20),
    "q5_0": (32, 22),
    "q5_1": (32, 24),
    "iq4_nl": (32, 18),
    "q2_k": (256, 84),
    "q3_k": (256, 110),
    "q4_k": (256, 144),
    "q5_k": (256, 176),
    "q6_k": (256, 210),
}
"""Elements and bytes of one block of each weight type (ggml's `block_q4_0` and kin)."""
FALLBACK_TYPE = "f16"
"""Of a matrix whose columns are no whole blocks."""


@dataclass(frozen=True)
class ParameterCount:
    """Numbers of parameters; `embedding` counts token and position tables and an untied output matrix."""

    total: int
    embedding: int

    @property
    def non_embedding(self) -> int:
        """Parameters that do arithmetic for every token of a prompt."""
        return self.total - self.embedding


def count_parameters(config: DecoderConfig, repeat: Repeat = None) -> ParameterCount:
    """Count all weights, norms and biases; tied matrices count once.

    `repeat` is how often each entry of `config.layers` occurs, once each without it. Sizes and repeats may be
    arrays (of parts made by `model_construct`); so is the result then.
    """
    total = embedding = 0
    for tensor, times in _tensors(config, repeat):
        if tensor.role == "constant":
            continue
        total = total + tensor.size * times
        if tensor.role in ("embedding", "position", "head"):
            embedding = embedding + tensor.size * times
    return ParameterCount(total, embedding)


def flops_per_token(config: DecoderConfig, context: int, phase: Phase) -> float:
    """Floating-point operations for one token: 2 for each multiply-add of matrices, attention and head.

    `decode`: the token sees `context` positions (itself included) and gets logits. `prefill`: the mean over a
    prompt of `context` tokens, which see (context + 1) / 2 positions on average (fewer in layers with a
    window) and of which only the last gets logits. Norms, activations and the softmax are left out (below
    1 %), as in Kaplan et al., arXiv 2001.08361.
    """
    if context < 1:
        raise ValueError(f"context is {context}; at least one token is needed")
    decoding = phase == "decode"
    matrices = sum(tensor.size * times * _runs(config, tensor) for tensor, times in _tensors(config))
    scores = sum(layer.mixer.score_multiply_adds(context, decoding) for layer in config.layers)
    head = config.vocab_size * config.embedding.width(config.hidden_size)
    total: float = 2.0 * (matrices + scores + (head if decoding else head / context))
    return total


def weight_bytes(
    config: DecoderConfig, block_type: str = "q4_0", embedding_type: str = "q8_0", repeat: Repeat = None
) -> int:
    """Bytes of all tensors of the GGUF file that `convert_checkpoint` writes (without its header and
    padding).

    Matrices of the layers have `block_type`, the embedding and an untied head `embedding_type`, all else is
    F32; a matrix whose columns are not a multiple of the block falls back to F16. `repeat` and arrays as in
    `count_parameters`.
    """
    total = 0
    for tensor, times in _tensors(config, repeat):
        elements, size = BLOCKS[wanted_type(tensor, block_type, embedding_type)]
        is_whole = tensor.shape[-1] % elements == 0
        fallback = tensor.size * BLOCKS[FALLBACK_TYPE][1]
        total = total + (tensor.size // elements * size * is_whole + fallback * (1 - is_whole)) * times
    return total


def stored_type(tensor: TensorShape, block_type: str, embedding_type: str) -> str:
    """The type (a key of `BLOCKS`) under which a tensor is stored. Raises `ValueError` for unknown types."""
    wanted = wanted_type(tensor, block_type, embedding_type)
    return wanted if tensor.shape[-1] % BLOCKS[wanted][0] == 0 else FALLBACK_TYPE


def wanted_type(tensor: TensorShape, block_type: str, embedding_type: str) -> str:
    """The type of a tensor whose columns are whole blocks. Raises `ValueError` for unknown types."""
    block_type, embedding_type = known_type(block_type), known_type(embedding_type)
    if tensor.role in ("vector", "position", "constant"):
        return "f32"
    return block_type if tensor.role == "matrix" else embedding_type


def tensor_bytes(shape: tuple[int, ...], weight_type: str) -> int:
    """Bytes of a tensor whose columns are a multiple of the type's block."""
    elements, size = BLOCKS[known_type(weight_type)]
    count = shape[0] * (shape[1] if len(shape) == 2 else 1)
    assert shape[-1] % elements == 0, f"{shape[-1]} columns in blocks of {elements}"
    return count // elements * size


def known_type(weight_type: str) -> str:
    """The type in lower case; `ValueError` when there is none of that name."""
    if weight_type.lower() not in BLOCKS:
        raise ValueError(f"unknown weight type {weight_type!r}; choose one of {', '.join(BLOCKS)}")
    return weight_type.lower()


def kv_bytes_per_token(config: DecoderConfig, type: str = "f16", repeat: Repeat = None) -> int:
    """Bytes of keys and values that one token leaves in the cache; `type` is f16 or q8_0.

    `repeat` and arrays as in `count_parameters`.
    """
    if type not in ("f16", "q8_0"):
        raise ValueError(f"unknown KV cache type {type!r}; choose f16 or q8_0")
    return sum(layer.mixer.kv_bytes(type) * times for layer, times in _layers(config, repeat))


def _runs(config: DecoderConfig, tensor: TensorShape) -> int:
    """How often a token multiplies by the tensor (the head is counted apart)."""
    if tensor.role != "matrix":
        return 0
    return config.num_layers if config.shared_ffn and tensor.name.startswith("ffn_") else 1


def _tensors(config: DecoderConfig, repeat: Repeat = None) -> Iterator[tuple[TensorShape, Any]]:
    """Each distinct tensor with the number of layers that have it."""
    yield from ((tensor, 1) for tensor in outer_tensors(config))
    for layer, times in _layers(config, repeat):
        tensors = layer.tensors(config.hidden_size, has_ffn=not config.shared_ffn)
        yield from ((tensor, times) for tensor in tensors)


def _layers(config: DecoderConfig, repeat: Repeat) -> Iterator[tuple[Layer, Any]]:
    yield from runs(config.layers) if repeat is None else zip(config.layers, repeat, strict=True)
