"""From a budget and a device to a shape: enumerate, price, and choose from the Pareto front."""

from __future__ import annotations

import time
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, field_validator

from phonelm.files import provenance
from phonelm.profile import DeviceProfile
from phonelm.progress import Progress
from phonelm.search.conventional import deep_and_thin
from phonelm.search.cost import Costs, Request, price
from phonelm.search.design import Candidate, Design, FrontPoint, describe
from phonelm.search.front import pareto_front, thin
from phonelm.search.quality import LIMITATION, non_embedding_proxy
from phonelm.search.space import Shapes, SpaceConfig, enumerate_shapes

Array = npt.NDArray[Any]
_SUFFIXES = {"k": 1e3, "m": 1e6, "b": 1e9}
# With 4.5 bits a block weight, 8.5 an embedding weight and a usual share of embeddings.
_BYTES_PER_PARAMETER = 0.65
_FRONT_KEPT, _SAMPLE_KEPT = 200, 1200


class SearchConfig(BaseModel):
    """The budget, what the model will be asked, and the space."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    params: int
    """Total parameters, embedding included; `4.7M` and `0.5B` are understood."""
    tolerance: float = Field(default=0.02, gt=0, lt=1)
    vocab_size: int = Field(default=4096, ge=256)
    context_length: int = Field(default=512, gt=0)
    prompt_tokens: int = Field(default=128, gt=0)
    output_tokens: int = Field(default=128, gt=0)
    max_decode_ms: float | None = Field(default=None, gt=0)
    max_prefill_ms: float | None = Field(default=None, gt=0)
    max_memory_mb: float | None = Field(default=None, gt=0)
    """Weights and a full KV cache, in MiB."""
    min_quality: float = Field(default=0.95, gt=0)
    """Non-embedding parameters the choice must keep, as a share of the deep and thin shape's."""
    block_type: Literal["q4_0", "q4_1", "q8_0"] = "q4_0"
    head_type: Literal["q8_0", "q4_0", "q4_1"] = "q8_0"
    space: SpaceConfig = SpaceConfig()

    @field_validator("params", mode="before")
    @classmethod
    def _readable_number(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        scale = _SUFFIXES.get(value[-1:].lower(), 1.0)
        try:
            return round(float(value[:-1] if scale > 1 else value) * scale)
        except (ValueError, OverflowError):
            raise ValueError(f"{value!r} is not a number of parameters; write 4.7M or 4700000") from None

    @field_validator("params")
    @classmethod
    def _some_parameters(cls, value: int) -> int:
        if value <= 0:
            raise ValueError(f"a budget of {value} parameters holds no model")
        return value

    @property
    def footprint_mb(self) -> float:
        """Rough MiB of the quantized weights, for a profile's footprint."""
        return self.params * _BYTES_PER_PARAMETER / 2**20

    @property
    def request(self) -> Request:
        """What is priced. Raises `ValueError` when prompt and answer do not fit the context."""
        if self.prompt_tokens + self.output_tokens > self.context_length:
            raise ValueError(
                f"prompt_tokens {self.prompt_tokens} + output_tokens {self.output_tokens} do not fit the "
                f"context_length {self.context_length}; make one of them fit"
            )
        return Request(self.prompt_tokens, self.output_tokens, self.context_length)


def search(config: SearchConfig, profile: DeviceProfile, progress: Progress | None = None) -> Design:
    """The shape that answers fastest on the profiled device within the budget.

    Raises `ValueError` for a budget or limits that no shape meets (naming the nearest that does) and for a
    profile of other quantization types.
    """
    progress = progress or Progress()
    if (profile.block_type, profile.head_type) != (config.block_type, config.head_type):
        raise ValueError(
            f"the profile holds {profile.block_type} blocks and a {profile.head_type} head, the search wants "
            f"{config.block_type} and {config.head_type}; measure again with `phonelm profile`"
        )
    begin, request = time.perf_counter(), config.request
    shapes = enumerate_shapes(config.space, config.vocab_size, config.params, config.tolerance)
    costs = price(shapes, profile, request)
    priced = time.perf_counter() - begin
    progress.line(f"  {len(shapes):,} shapes priced in {priced:.2f} s")
    quality = non_embedding_proxy(shapes)
    reference = deep_and_thin(config.vocab_size, config.params, config.tolerance, gated=True)
    floor = config.min_quality * (int(reference.non_embedding[0]) if reference else int(quality.max()))
    front = pareto_front(np.stack([costs.decode_ms, costs.prefill_ms, costs.memory_bytes, -quality], axis=1))
    allowed = front[_within_limits(config, costs, quality, floor)[front]]
    if not len(allowed):
        raise ValueError(_nobody(config, costs, quality, floor))
    winner = int(allowed[np.argmin(costs.response_ms(request)[allowed])])
    chosen = describe(shapes, winner, profile, request)
    conventional = describe(reference, 0, profile, request) if reference else None
    return Design(
        params=config.params,
        chosen=chosen,
        conventional=conventional,
        reason=_reason(config, len(shapes), chosen, conventional),
        quality_note=LIMITATION,
        num_shapes=len(shapes),
        pricing_s=priced,
        num_front=len(front),
        front=_points(shapes, costs, _kept(front, winner, costs)),
        sample=_points(shapes, costs, thin(costs.decode_ms, _SAMPLE_KEPT)),
        device=profile.machine.model,
        isa=profile.isa,
        num_threads=profile.num_threads,
        made=provenance(config=config.model_dump(mode="json"), wall_s=round(time.perf_counter() - begin, 3)),
    )


def _within_limits(config: SearchConfig, costs: Costs, quality: Array, floor: float) -> Array:
    allowed = quality >= floor
    for limit, values in _limits(config, costs):
        allowed &= values <= limit
    return np.asarray(allowed)


def _limits(config: SearchConfig, costs: Costs) -> list[tuple[float, Array]]:
    pairs = (
        (config.max_decode_ms, costs.decode_ms),
        (config.max_prefill_ms, costs.prefill_ms),
        (config.max_memory_mb, costs.memory_bytes / 2**20),
    )
    return [(limit, values) for limit, values in pairs if limit is not None]


def _nobody(config: SearchConfig, costs: Costs, quality: Array, floor: float) -> str:
    """Which shape misses the limits by the least factor, in words."""
    excess = np.maximum(floor / quality, 1.0)
    for limit, values in _limits(config, costs):
        excess = np.maximum(excess, values / limit)
    near = int(np.argmin(excess))
    return (
        f"no shape of {config.params:,} parameters meets the limits; the nearest takes "
        f"{costs.decode_ms[near]:.3g} ms a token, {costs.prefill_ms[near]:.3g} ms for the prompt and "
        f"{costs.memory_bytes[near] / 2**20:.3g} MiB with {quality[near]:,} non-embedding parameters "
        f"({floor:,.0f} wanted): relax max_decode_ms, max_prefill_ms, max_memory_mb, min_quality or params"
    )


def _reason(config: SearchConfig, count: int, chosen: Candidate, other: Candidate | None) -> str:
    budget = f"{config.params / 1e6:.3g}M parameters ± {config.tolerance:.0%}"
    text = (
        f"Of {count:,} shapes with {budget}, it answers a prompt of {config.prompt_tokens} tokens with "
        f"{config.output_tokens} the fastest while keeping at least {config.min_quality:.0%} of the deep and "
        "thin shape's non-embedding parameters"
    )
    if other is None:
        return text + "."
    decode, prefill = other.decode_ms / chosen.decode_ms, other.prefill_ms / chosen.prefill_ms
    return f"{text}: {decode:.2f} times the decode and {prefill:.2f} times the prefill speed of that shape."


def _points(shapes: Shapes, costs: Costs, which: Array) -> list[FrontPoint]:
    some = shapes.take(which)
    sizes = (some.layers, some.hidden, some.heads, some.kv_heads, some.head_dim, some.intermediate)
    return [
        FrontPoint(shape=shape, decode_ms=decode, prefill_ms=prefill, memory_mb=memory, quality=quality)
        for shape, decode, prefill, memory, quality in zip(
            np.stack(sizes, axis=1).tolist(),
            costs.decode_ms[which].round(5).tolist(),
            costs.prefill_ms[which].round(4).tolist(),
            (costs.memory_bytes[which] / 2**20).round(3).tolist(),
            some.non_embedding.tolist(),
            strict=True,
        )
    ]


def _kept(front: Array, winner: int, costs: Costs) -> Array:
    kept = front[thin(costs.decode_ms[front], _FRONT_KEPT)]
    return np.union1d(kept, [winner])
