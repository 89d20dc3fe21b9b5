"""The result of a search as one JSON document."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from phonelm.arch import DecoderConfig
from phonelm.files import read_json, write_json
from phonelm.profile import DeviceProfile
from phonelm.search.cost import Request, decode_parts, memory_bytes, prefill_parts
from phonelm.search.space import Shapes, shapes_of


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Candidate(_Record):
    """A shape with its predictions."""

    config: DecoderConfig
    num_parameters: int
    non_embedding: int
    decode_ms: float
    """Milliseconds a token, halfway through the answer."""
    prefill_ms: float
    """Milliseconds for the whole prompt."""
    decode_tok_s: float
    prefill_tok_s: float
    memory_mb: float
    """Weights and a full KV cache, MiB."""
    decode_parts_ms: dict[str, float]
    prefill_parts_ms: dict[str, float]

    @property
    def name(self) -> str:
        """Depth, width, heads and FFN in a few words."""
        c = self.config
        heads = f"{c.heads_at(0)}/{c.kv_heads_at(0)} heads of {c.head_dim}"
        ffn = f"{c.ffn} {c.activation} FFN {c.intermediate_at(0)}"
        return f"{c.num_layers} layers × {c.hidden_size}, {heads}, {ffn}"


class FrontPoint(_Record):
    """A priced shape: (layers, hidden, heads, kv_heads, head_dim, intermediate), and its objectives."""

    shape: tuple[int, int, int, int, int, int]
    decode_ms: float
    prefill_ms: float
    memory_mb: float
    quality: int


class Design(_Record):
    """What a search chose, beside what, and why."""

    version: Literal[1] = 1
    params: int
    chosen: Candidate
    conventional: Candidate | None
    """The deep and thin shape of equal size; None where the budget is too small for any."""
    reason: str
    quality_note: str
    num_shapes: int
    pricing_s: float
    num_front: int
    front: list[FrontPoint]
    """Members of the Pareto front, at most 201 spread over decode time."""
    sample: list[FrontPoint]
    """Some of all priced shapes, for the picture."""
    device: str
    isa: str
    num_threads: int
    made: dict[str, Any]

    def save(self, path: Path | str) -> None:
        """Write as JSON, whole or not at all."""
        write_json(path, self.model_dump(mode="json"))

    @classmethod
    def load(cls, path: Path | str) -> Design:
        """Read what `save` wrote. Raises `ValueError` for another format, `FileNotFoundError` for no file."""
        try:
            return cls.model_validate(read_json(path))
        except ValidationError as error:
            raise ValueError(
                f"{path} is not a design of this version; make it again with `phonelm search`"
            ) from error


def describe(shapes: Shapes, index: int, profile: DeviceProfile, request: Request) -> Candidate:
    """Predict one of the shapes in full."""
    one = shapes.take(slice(index, index + 1))
    decode = {name: 1e3 * float(s[0]) for name, s in decode_parts(one, profile, request).items()}
    prefill = {name: 1e3 * float(s[0]) for name, s in prefill_parts(one, profile, request).items()}
    decode_ms, prefill_ms = sum(decode.values()), sum(prefill.values())
    return Candidate(
        config=one.config(0, request.context_length),
        num_parameters=int(one.total[0]),
        non_embedding=int(one.non_embedding[0]),
        decode_ms=decode_ms,
        prefill_ms=prefill_ms,
        decode_tok_s=1e3 / decode_ms,
        prefill_tok_s=1e3 * request.prompt_tokens / prefill_ms,
        memory_mb=float(memory_bytes(one, profile, request)[0]) / 2**20,
        decode_parts_ms=decode,
        prefill_parts_ms=prefill,
    )


def predict(config: DecoderConfig, profile: DeviceProfile, request: Request) -> Candidate:
    """Predict any uniform decoder. Raises `ValueError` for kinds the cost tables do not hold."""
    return describe(shapes_of(config), 0, profile, request)
