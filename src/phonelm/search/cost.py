"""Prices shapes from a device's cost table: a model's time is the sum over its operators.

What the runtime does for a token, layer by layer: norm; Q, K and V; attention; output; norm; gate and up;
activation; down. Then the final norm, the head, and the sampling. Threads share a matrix by panels of rows;
where these do not come out even all wait for the slowest, so rows are rounded up to what the slowest thread
does, times the threads.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from phonelm.profile import PANEL_ROWS, CostGrid, DeviceProfile, PhaseCosts
from phonelm.profile.tables import NEURON_COLUMNS
from phonelm.search.space import Shapes

Array = npt.NDArray[Any]

BITS_PER_WEIGHT = {"q4_0": 4.5, "q4_1": 5.0, "q8_0": 8.5, "f16": 16.0, "f32": 32.0}
"""Bits a weight takes with its share of the block's scale (blocks of 32)."""
SILU = 0
"""Of `Shapes.activation`; the others have dead neurons."""
_SLICE = 1 << 18


@dataclass(frozen=True)
class Request:
    """What the model will be asked: tokens of the prompt, tokens of the answer, positions of the KV cache."""

    prompt_tokens: int
    output_tokens: int
    context_length: int
    live_fraction: float = 0.5
    """Of the neurons of ReLU FFNs, those not dead: a half with random weights, fewer once trained."""

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
    live_percent = 100 * request.live_fraction
    parts = _layers(shapes, profile, profile.decode, 1, request.decode_context, live_percent)
    parts["overhead"] = profile.decode.overhead.at(hidden=shapes.hidden)
    return parts | _ending(shapes, profile)


def prefill_parts(shapes: Shapes, profile: DeviceProfile, request: Request) -> dict[str, Array]:
    """Seconds of the prompt by part of the model; the head runs for the last token only."""
    total: dict[str, Array] = {}
    costs = profile.prefill
    for begin in range(0, request.prompt_tokens, costs.num_tokens):
        end = min(begin + costs.num_tokens, request.prompt_tokens)
        parts = _layers(shapes, profile, costs, end - begin, end)
        parts["overhead"] = costs.overhead.at(hidden=shapes.hidden) * ((end - begin) / costs.num_tokens)
        total = {name: seconds + total.get(name, 0.0) for name, seconds in parts.items()}
    return total | _ending(shapes, profile)


def _layers(
    shapes: Shapes,
    profile: DeviceProfile,
    costs: PhaseCosts,
    num_tokens: int,
    context: int,
    live_percent: float = 100.0,
) -> dict[str, Array]:
    """Seconds of all layers for `num_tokens` tokens that end at position `context`."""
    width = shapes.heads * shapes.head_dim
    share = num_tokens / costs.num_tokens
    footprint_mb = weight_bytes(shapes, profile) / 2**20

    def matmul(rows: Array, cols: Array) -> Array:
        """Matrices between two barriers, of together so many rows."""
        return _at(costs.matmul_block, rows=rows, cols=cols, tokens=num_tokens, footprint_mb=footprint_mb)

    def evenly(rows: Array) -> Array:
        return shared_evenly(rows, PANEL_ROWS, profile.num_threads)

    num_ups = np.where(shapes.gated, 2, 1)
    dense = (
        matmul(num_ups * evenly(shapes.intermediate), shapes.hidden)
        + matmul(evenly(shapes.hidden), shapes.intermediate)
        + share * costs.activation.at(intermediate=shapes.intermediate)
    )
    per_layer = {
        "projections": matmul(evenly(width) + 2 * evenly(shapes.kv_heads * shapes.head_dim), shapes.hidden)
        + matmul(evenly(shapes.hidden), width),
        "attention": share * _attention(shapes, costs, footprint_mb, max(context, costs.num_tokens)),
        "ffn": _ffn(shapes, costs, dense, share, footprint_mb, live_percent),
        # The attention's output is quantized too: priced as a norm, of which that is most.
        "norms": share * (2 * costs.norm.at(hidden=shapes.hidden) + costs.norm.at(hidden=width)),
    }
    return {name: seconds * shapes.layers for name, seconds in per_layer.items()}


def _ffn(
    shapes: Shapes, costs: PhaseCosts, dense: Array, share: float, footprint_mb: Array, live_percent: float
) -> Array:
    """Seconds of one FFN: `dense`, but of ReLU models that are stored neuron by neuron what that costs."""
    by_neuron = (shapes.activation != SILU) & (shapes.hidden % NEURON_COLUMNS == 0)
    seconds = dense
    for gated, costs_of_kind in ((True, costs.neurons_gated), (False, costs.neurons_plain)):
        which = by_neuron & (shapes.gated == gated)
        if costs_of_kind is not None and which.any():
            seconds = seconds.copy()
            seconds[which] = share * _at(
                costs_of_kind,
                hidden=shapes.hidden[which],
                intermediate=shapes.intermediate[which],
                footprint_mb=footprint_mb[which],
                live_percent=live_percent,
            )
    return seconds


def shared_evenly(count: Array | int, unit: int, num_threads: int) -> Array:
    """`count` rounded up so that every thread gets as many whole units as the one with most."""
    share = unit * num_threads
    return np.asarray(-(-count // share) * share)


def _attention(shapes: Shapes, costs: PhaseCosts, footprint_mb: Array, context: int) -> Array:
    """Attention depends on the heads, of which few kinds occur, and where the caches are: priced by kind."""
    keys = np.stack([shapes.head_dim, shapes.heads // shapes.kv_heads, shapes.kv_heads]).astype(np.int64)
    _, first, inverse = np.unique(
        (keys[0] << 40) | (keys[1] << 20) | keys[2], return_index=True, return_inverse=True
    )
    head_dim, group, kv_heads = keys[:, first]
    sizes = {"head_dim": head_dim, "group": group, "kv_heads": kv_heads, "context": context}
    if "footprint_mb" not in costs.attention.axes:
        return np.asarray(costs.attention.at(**sizes)[inverse])
    warm_mb, cold_mb = costs.attention.axes["footprint_mb"]
    warm, cold = (_at(costs.attention, **sizes, footprint_mb=mb)[inverse] for mb in (warm_mb, cold_mb))
    share = np.clip((footprint_mb - warm_mb) / (cold_mb - warm_mb), 0.0, 1.0)
    return np.asarray(warm + share * (cold - warm))


def _at(costs: CostGrid, **sizes: Any) -> Array:
    """The cost at those of the sizes that it depends on; a footprint beyond the caches is as good as any."""
    known = {name: sizes[name] for name in costs.axes}
    if "footprint_mb" in known:
        points = costs.axes["footprint_mb"]
        known["footprint_mb"] = np.clip(known["footprint_mb"], points[0], points[-1])
    return costs.at(**known)


def _ending(shapes: Shapes, profile: DeviceProfile) -> dict[str, Array]:
    """Seconds of the norm, the head and the choice of a token."""
    rows = shared_evenly(shapes.vocab_size, PANEL_ROWS, profile.num_threads)
    footprint_mb = weight_bytes(shapes, profile) / 2**20
    head = _at(profile.head, rows=rows, cols=shapes.hidden, footprint_mb=footprint_mb)
    sampling = profile.sampling.at(vocab=np.int64(shapes.vocab_size))
    return {"head": head + profile.decode.norm.at(hidden=shapes.hidden) + sampling}


def memory_bytes(shapes: Shapes, profile: DeviceProfile, request: Request) -> Array:
    """Bytes of the weights and of a full KV cache in float16."""
    cache = 2.0 * 2 * shapes.layers * shapes.kv_heads * shapes.head_dim * request.context_length
    return np.asarray(weight_bytes(shapes, profile) + cache)


def weight_bytes(shapes: Shapes, profile: DeviceProfile) -> Array:
    """Bytes of the quantized weights (norms in float32)."""
    norms = shapes.hidden.astype(np.int64) * (2 * shapes.layers + 1)
    blocks = (shapes.non_embedding - norms) * BITS_PER_WEIGHT[profile.block_type] / 8
    embedding = shapes.embedding * BITS_PER_WEIGHT[profile.head_type] / 8
    return np.asarray(blocks + norms * 4.0 + embedding)
