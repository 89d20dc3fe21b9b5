"""Prices shapes from a device's cost table: a model's time is the sum over its operators.

Which operators a shape has, and of what sizes, the native graph says (`graph/operators.h`): the list that a
pass executes. Threads share a matrix by panels of rows; where these do not come out even all wait for the
slowest, so the graph gives rows rounded up to what the slowest thread does, times the threads.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from phonelm.profile import CostGrid, DeviceProfile, PhaseCosts
from phonelm.search.space import Shapes

Array = npt.NDArray[Any]

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
    parts = _pass(shapes, profile, profile.decode, 1, request.decode_context, live_percent)
    parts["head"] += _sampling(shapes, profile)
    return parts


def prefill_parts(shapes: Shapes, profile: DeviceProfile, request: Request) -> dict[str, Array]:
    """Seconds of the prompt by part of the model; the head runs for the last token only."""
    total: dict[str, Array] = {}
    costs = profile.prefill
    for begin in range(0, request.prompt_tokens, costs.num_tokens):
        end = min(begin + costs.num_tokens, request.prompt_tokens)
        parts = _pass(shapes, profile, costs, end - begin, max(end, costs.num_tokens))
        head = parts.pop("head")
        total = {name: seconds + total.get(name, 0.0) for name, seconds in parts.items()}
    return total | {"head": head + _sampling(shapes, profile)}


def _sampling(shapes: Shapes, profile: DeviceProfile) -> Array:
    return profile.sampling.at(vocab=np.int64(shapes.vocab_size))


def _pass(
    shapes: Shapes,
    profile: DeviceProfile,
    costs: PhaseCosts,
    num_tokens: int,
    context: int,
    live_percent: float = 100.0,
) -> dict[str, Array]:
    """Seconds of a pass over `num_tokens` tokens that end at position `context`, by part of the model."""
    footprint_mb = shapes.weight_bytes(profile.block_type, profile.head_type) / 2**20
    parts: dict[str, Array] = {}
    for name, of_operator in _operators(shapes, profile, num_tokens, context).items():
        grid = profile.head if name == "head" else costs.of(name)
        which = of_operator["index"]
        sizes = {**of_operator["sizes"], "footprint_mb": footprint_mb[which]}
        seconds = _priced(grid, sizes, num_tokens, live_percent)
        if name != "head" and "tokens" not in grid.axes:
            seconds = seconds * (num_tokens / costs.num_tokens)
        part = parts.setdefault(of_operator["part"], np.zeros(len(shapes)))
        part[which] += of_operator["times"] * seconds
    return parts


def _operators(shapes: Shapes, profile: DeviceProfile, num_tokens: int, context: int) -> dict[str, Any]:
    """By name, the operators of the native graph: which shapes have each, how often, and its sizes."""
    from phonelm import _native

    sizes = ("hidden", "layers", "head_dim", "heads", "kv_heads", "intermediate", "gated")
    return _native.uniform_operators(
        shapes.vocab_size,
        **{name: _int32(getattr(shapes, name)) for name in sizes},
        relu=_int32(np.asarray(shapes.activation) != SILU),
        block_type=profile.block_type,
        num_tokens=num_tokens,
        context=context,
        num_threads=profile.num_threads,
    )


def _int32(values: Array) -> npt.NDArray[np.int32]:
    return np.ascontiguousarray(values, dtype=np.int32)


def _priced(grid: CostGrid, sizes: dict[str, Any], num_tokens: int, live_percent: float) -> Array:
    if "group" in grid.axes:
        return _attention(grid, sizes)
    return _at(grid, **sizes, tokens=num_tokens, live_percent=live_percent)


def _attention(grid: CostGrid, sizes: dict[str, Any]) -> Array:
    """Attention depends on the heads, of which few kinds occur, and where the caches are: priced by kind."""
    names = ("head_dim", "group", "kv_heads", "context")
    _, first, inverse = np.unique(
        _key([sizes[name] for name in names]), return_index=True, return_inverse=True
    )
    kinds = {name: sizes[name][first] for name in names}
    if "footprint_mb" not in grid.axes:
        return np.asarray(grid.at(**kinds)[inverse])
    warm_mb, cold_mb = grid.axes["footprint_mb"]
    warm, cold = (_at(grid, **kinds, footprint_mb=mb)[inverse] for mb in (warm_mb, cold_mb))
    share = np.clip((sizes["footprint_mb"] - warm_mb) / (cold_mb - warm_mb), 0.0, 1.0)
    return np.asarray(warm + share * (cold - warm))


def _key(columns: list[Array]) -> Array:
    """A number for each row, equal where all of its columns are."""
    key = np.zeros(len(columns[0]), dtype=np.int64)
    for column in columns:
        key = key * (int(column.max(initial=0)) + 1) + column
    return key


def _at(costs: CostGrid, **sizes: Any) -> Array:
    """The cost at those of the sizes that it depends on; a footprint beyond the caches is as large as any."""
    known = {name: sizes[name] for name in costs.axes}
    if "footprint_mb" in known:
        points = costs.axes["footprint_mb"]
        known["footprint_mb"] = np.clip(known["footprint_mb"], points[0], points[-1])
    return costs.at(**known)


def memory_bytes(shapes: Shapes, profile: DeviceProfile, request: Request) -> Array:
    """Bytes of the weights and of a full KV cache in float16."""
    weights = shapes.weight_bytes(profile.block_type, profile.head_type)
    return np.asarray(weights + shapes.kv_bytes_per_token * request.context_length)
