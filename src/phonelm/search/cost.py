"""Prices shapes from a device's cost table: a model's time is the sum over its operators.

What the runtime does for a token, layer by layer: norm; Q, K and V; attention; output; norm; gate and up;
activation; down. Then the final norm, the head, and the sampling. Threads share a matrix by panels of rows
and decode's attention by heads; where these do not come out even all wait for the slowest, so sizes are
rounded up to what the slowest thread does, times the threads.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from phonelm.profile import PANEL_ROWS, DeviceProfile, PhaseCosts
from phonelm.search.space import Shapes

Array = npt.NDArray[Any]

BITS_PER_WEIGHT = {"q4_0": 4.5, "q4_1": 5.0, "q8_0": 8.5, "f16": 16.0, "f32": 32.0}
"""Bits a weight takes with its share of the block's scale (blocks of 32)."""
_SLICE = 1 << 18


@dataclass(frozen=True)
class Request:
    """What the model will be asked: tokens of the prompt, tokens of the answer, positions of the KV cache."""

    prompt_tokens: int
    output_tokens: int
    context_length: int

    @property
    def decode_context(self) -> int:
        """Positions attended halfway through the answer."""
        return self.prompt_tokens + self.output_tokens // 2


@dataclass(frozen=True)
class Costs:
    """Predictions for many shapes, arrays of equal length."""

    decode_ms: Array
    """Milliseconds for one token of the answer."""
    prefill_ms: Array
    """Milliseconds for the whole prompt."""
    memory_bytes: Array
    """Weights and a full KV cache."""

    def response_ms(self, request: Request) -> Array:
        """Milliseconds from the prompt to the end of the answer."""
        return np.asarray(self.prefill_ms + request.output_tokens * self.decode_ms)


def price(shapes: Shapes, profile: DeviceProfile, request: Request) -> Costs:
    """Predicted times and memory of every shape."""
    decode, prefill = np.empty(len(shapes)), np.empty(len(shapes))
    for begin in range(0, len(shapes), _SLICE):
        part = slice(begin, begin + _SLICE)
        decode[part] = sum(decode_parts(shapes.take(part), profile, request).values())
        prefill[part] = sum(prefill_parts(shapes.take(part), profile, request).values())
    return Costs(decode * 1e3, prefill * 1e3, memory_bytes(shapes, profile, request))


def decode_parts(shapes: Shapes, profile: DeviceProfile, request: Request) -> dict[str, Array]:
    """Seconds of one token of the answer by part of the model."""
    parts = _layers(shapes, profile.decode, profile.num_threads, [request.decode_context])
    return parts | _ending(shapes, profile, profile.decode, 1)


def prefill_parts(shapes: Shapes, profile: DeviceProfile, request: Request) -> dict[str, Array]:
    """Seconds of the prompt by part of the model; the head runs for the last token only."""
    chunk = profile.prefill.num_tokens
    chunks = request.prompt_tokens / chunk
    ends = np.minimum(np.arange(1, int(np.ceil(chunks)) + 1) * chunk, max(request.prompt_tokens, chunk))
    layers = _layers(shapes, profile.prefill, profile.num_threads, ends.tolist())
    parts = {name: seconds * chunks for name, seconds in layers.items()}
    return parts | _ending(shapes, profile, profile.prefill, chunks)


def _layers(shapes: Shapes, costs: PhaseCosts, num_threads: int, contexts: list[int]) -> dict[str, Array]:
    """Seconds of all layers for the tokens of the phase, attention averaged over `contexts`."""
    width = shapes.heads * shapes.head_dim

    def matmul(rows: Array, cols: Array, count: Array | int = 1) -> Array:
        """`count` matrices of equal shape between two barriers."""
        return costs.matmul_block.at(rows=count * shared_evenly(rows, PANEL_ROWS, num_threads), cols=cols)

    kv_rows = shared_evenly(shapes.kv_heads * shapes.head_dim, PANEL_ROWS, num_threads)
    qkv_rows = shared_evenly(width, PANEL_ROWS, num_threads) + 2 * kv_rows
    up = matmul(shapes.intermediate, shapes.hidden, np.where(shapes.gated, 2, 1))
    per_layer = {
        "projections": costs.matmul_block.at(rows=qkv_rows, cols=shapes.hidden)
        + matmul(shapes.hidden, width),
        "attention": _attention(shapes, costs, num_threads, contexts),
        "ffn": up
        + matmul(shapes.hidden, shapes.intermediate)
        + costs.activation.at(intermediate=shapes.intermediate),
        # The attention's output is quantized too: priced as a norm, of which that is most.
        "norms": 2 * costs.norm.at(hidden=shapes.hidden) + costs.norm.at(hidden=width),
    }
    return {name: seconds * shapes.layers for name, seconds in per_layer.items()}


def shared_evenly(count: Array | int, unit: int, num_threads: int) -> Array:
    """`count` rounded up so that every thread gets as many whole units as the one with most."""
    share = unit * num_threads
    return np.asarray(-(-count // share) * share)


def _attention(shapes: Shapes, costs: PhaseCosts, num_threads: int, contexts: list[int]) -> Array:
    """Attention depends on the heads alone, and few kinds of heads occur: price each kind once."""
    keys = np.stack([shapes.head_dim, shapes.heads // shapes.kv_heads, shapes.kv_heads]).astype(np.int64)
    _, first, inverse = np.unique(
        (keys[0] << 40) | (keys[1] << 20) | keys[2], return_index=True, return_inverse=True
    )
    head_dim, group, kv_heads = keys[:, first]
    if costs.num_tokens == 1:
        kv_heads = shared_evenly(group * kv_heads, 1, num_threads) / group
    seconds = [
        costs.attention.at(head_dim=head_dim, group=group, kv_heads=kv_heads, context=context)
        for context in contexts
    ]
    return np.asarray(np.mean(seconds, axis=0)[inverse])


def _ending(shapes: Shapes, profile: DeviceProfile, costs: PhaseCosts, chunks: float) -> dict[str, Array]:
    """Seconds outside the layers: norm and head of the last token, and what each chunk costs besides."""
    rows = shared_evenly(shapes.vocab_size, PANEL_ROWS, profile.num_threads)
    head = profile.head.at(rows=rows, cols=shapes.hidden)
    return {
        "head": head + profile.decode.norm.at(hidden=shapes.hidden),
        "overhead": chunks * costs.overhead.at(vocab=np.int64(shapes.vocab_size), hidden=shapes.hidden),
    }


def memory_bytes(shapes: Shapes, profile: DeviceProfile, request: Request) -> Array:
    """Bytes of the quantized weights (norms in float32) and of a full KV cache in float16."""
    norms = shapes.hidden.astype(np.int64) * (2 * shapes.layers + 1)
    blocks = (shapes.non_embedding - norms) * BITS_PER_WEIGHT[profile.block_type] / 8
    embedding = shapes.embedding * BITS_PER_WEIGHT[profile.head_type] / 8
    cache = 2.0 * 2 * shapes.layers * shapes.kv_heads * shapes.head_dim * request.context_length
    return np.asarray(blocks + norms * 4.0 + embedding + cache)
