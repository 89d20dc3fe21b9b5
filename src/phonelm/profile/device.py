"""What a device can do: the machine, its limits, and the cost of each operator, as one JSON document."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from phonelm.devices import MachineInfo
from phonelm.files import read_json, write_json
from phonelm.profile.conditions import Conditions
from phonelm.profile.grid import CostGrid

FORMAT_VERSION = 2
"""Raised with the fields below; a profile of another version is measured again."""


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Bandwidth(_Record):
    """Bytes a second read by `num_threads` threads from a buffer of `buffer_bytes`."""

    num_threads: int
    buffer_bytes: int
    bytes_per_s: float


class PhaseCosts(_Record):
    """Seconds of each operator when `num_tokens` tokens are evaluated together (1: decode)."""

    num_tokens: int
    matmul_block: CostGrid
    """Axes rows, cols, in decode footprint_mb (weights of the whole model, MiB), in prefill tokens: a matrix
    of the blocks, with the barrier after it."""
    attention: CostGrid
    """Axes head_dim, group (query heads a KV head), kv_heads, context (positions, the new ones included), in
    decode footprint_mb."""
    norm: CostGrid
    """Axis hidden: norm and quantization of the activations."""
    activation: CostGrid
    """Axis intermediate: activation, product and quantization."""
    neurons_gated: CostGrid | None = None
    """Axes hidden, intermediate, in decode footprint_mb and live_percent: a ReLU FFN stored neuron by
    neuron, with up beside a gate. None where the blocks' type is not stored so."""
    neurons_plain: CostGrid | None = None
    """The same without a gate."""
    overhead: CostGrid
    """Axis hidden: waking the threads, the embedding, the rotary angles."""


class DeviceProfile(_Record):
    """A measured device: all times are medians, in seconds."""

    version: Literal[2] = 2
    machine: MachineInfo
    isa: str
    num_threads: int
    kernels: str
    """Hash of the native module that was measured."""
    quick: bool
    block_type: str = "q4_0"
    head_type: str = "q8_0"
    bandwidth: list[Bandwidth]
    int8_ops_per_s: dict[int, float]
    """Peak int8 operations a second (a multiply-add is two) by number of threads."""
    decode: PhaseCosts
    prefill: PhaseCosts
    head: CostGrid
    """Axes rows (vocabulary), cols, footprint_mb: the output head for one token, in both phases."""
    sampling: CostGrid
    """Axis vocab: the greedy choice of a token."""
    barrier_s: float
    """The threads meeting once; part of the costs above."""
    conditions: Conditions
    num_passes: int
    """How often every cell was measured."""
    spread: float
    """Median over the cells of (largest - smallest) / median of the repeats."""
    made: dict[str, Any]

    def save(self, path: Path | str) -> None:
        """Write as JSON, whole or not at all."""
        write_json(path, self.model_dump(mode="json"))

    @classmethod
    def load(cls, path: Path | str) -> DeviceProfile:
        """Read what `save` wrote. Raises `ValueError` for another format, `FileNotFoundError` for no file."""
        try:
            return cls.model_validate(read_json(path))
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise ValueError(
                f"{path} is not a device profile of this version ({where}: {first['msg']}); "
                "measure again with `phonelm profile`"
            ) from error
