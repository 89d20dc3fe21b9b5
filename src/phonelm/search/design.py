"""The result of a search as one JSON document."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from phonelm.arch import DecoderConfig
from phonelm.arch.ffn import Activation
from phonelm.files import read_json, write_json
from phonelm.profile import DeviceProfile
from phonelm.search.choice import Preference
from phonelm.search.cost import Request, decode_parts, memory_bytes, prefill_parts
from phonelm.search.shapes import FfnKind, Shapes, shapes_of
from phonelm.search.verification import Record, Verification, shape_words


class Candidate(Record):
    """A shape with its predictions."""

    config: DecoderConfig
    num_parameters: int
    non_embedding: int
    decode_ms: float
    """Milliseconds per token, halfway through the answer."""
    prefill_ms: float
    """Milliseconds for the whole prompt."""
    decode_tok_s: float
    prefill_tok_s: float
    memory_mb: float
    """Weights and a full KV cache, MiB."""
    decode_parts_ms: dict[str, float]
    prefill_parts_ms: dict[str, float]

    loss_percent: float | None = None
    """Predicted loss above the best of all priced shapes; None where nothing was priced beside it."""
    loss_std_percent: float | None = None
    types: str = "q4_0/q8_0"
    """Type of the blocks' matrices / type of the embedding and the head."""

    def response_ms(self, request: Request) -> float:
        """Milliseconds from the prompt to the end of the answer."""
        return self.prefill_ms + request.output_tokens * self.decode_ms

    @property
    def block_type(self) -> str:
        """Type of the blocks' matrices."""
        return self.types.split("/")[0]

    @property
    def head_type(self) -> str:
        """Type of the embedding and the output head."""
        return self.types.split("/")[1]

    @property
    def name(self) -> str:
        """Depth, width, heads and FFN in a few words."""
        return shape_words(self.config)


class FrontPoint(Record):
    """A priced shape in short."""

    shape: tuple[int, int, int, int, int, int]
    """Layers, hidden, heads, kv_heads, head_dim, intermediate."""
    ffn: FfnKind
    activation: Activation
    tied: bool
    vocab_size: int
    types: str
    """Type of the blocks' matrices / type of the embedding and the head."""
    decode_ms: float
    prefill_ms: float
    memory_mb: float
    non_embedding: int
    loss_percent: float
    """Predicted loss above the best of all priced shapes."""
    loss_std_percent: float | None

    def config(self, context_length: int) -> DecoderConfig:
        """The shape as a `DecoderConfig`."""
        layers, hidden, heads, kv_heads, head_dim, intermediate = self.shape
        fields = {
            "vocab_size": self.vocab_size,
            "hidden_size": hidden,
            "num_layers": layers,
            "num_heads": heads,
            "num_kv_heads": kv_heads,
            "head_dim": head_dim,
            "intermediate_size": intermediate,
            "ffn": self.ffn,
            "activation": self.activation,
            "tie_embeddings": self.tied,
            "context_length": context_length,
        }
        return DecoderConfig.model_validate(fields)


class Conventional(Record):
    """A published shape scaled to the budget."""

    name: str
    kept: str
    """What of the published shape stays."""
    candidate: Candidate


class Design(Record):
    """What a search chose, beside what, and why."""

    version: Literal[2] = 2
    params: int
    request: Request
    limits: dict[str, float]
    """Those that were set, by their option's name."""
    prefer: Preference
    chosen: Candidate
    conventional: list[Conventional]
    """Published shapes of equal size; without those that do not fit the budget."""
    reason: str
    comparison: str = ""
    """With the fastest conventional shape, in words."""
    quality_source: str
    quality_note: str
    num_shapes: int
    pricing_s: float
    num_front: int
    front: list[FrontPoint]
    """Members of the Pareto front, at most 201 spread over decode time."""
    sample: list[FrontPoint]
    """Some of all priced shapes, drawn at random."""
    verification: Verification | None = None
    verification_note: str = "not measured as whole models"
    device: str
    isa: str
    num_threads: int
    made: dict[str, Any]

    @property
    def best_conventional(self) -> Conventional | None:
        """The published shape that answers fastest; None where the budget is too small for any."""
        request = self.request
        return min(self.conventional, key=lambda c: c.candidate.response_ms(request), default=None)

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


def describe(
    shapes: Shapes,
    index: int,
    profile: DeviceProfile,
    request: Request,
    loss_percent: float | None = None,
    loss_std_percent: float | None = None,
) -> Candidate:
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
        loss_percent=loss_percent,
        loss_std_percent=loss_std_percent,
        types=f"{profile.block_type}/{profile.head_type}",
    )


def predict(config: DecoderConfig, profile: DeviceProfile, request: Request) -> Candidate:
    """Predict any uniform decoder. Raises `ValueError` for kinds the cost tables do not hold."""
    candidate = describe(shapes_of(config), 0, profile, request)
    return candidate.model_copy(update={"config": config})
