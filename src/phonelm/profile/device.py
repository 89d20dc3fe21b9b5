"""What a device can do: the machine, its limits, and the cost of each operator, as one JSON document."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from phonelm.devices import MachineInfo
from phonelm.files import read_json, write_json
from phonelm.profile.conditions import Conditions
from phonelm.profile.grid import CostGrid
from phonelm.validation import message_of

FORMAT_VERSION = 3
"""Raised with the fields below; a profile of another version is measured again."""


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Bandwidth(_Record):
    """Bytes per second read by `num_threads` threads from a buffer of `buffer_bytes`."""

    num_threads: int
    buffer_bytes: int
    bytes_per_s: float


class PhaseCosts(_Record):
    """Seconds of each operator when `num_tokens` tokens are evaluated together (1: decode)."""

    num_tokens: int
    operators: dict[str, CostGrid]
    """By the names of the native graph's operators (`graph/operators.h`), over their sizes. Beside these an
    axis may be footprint_mb (weights of the whole model, MiB), tokens, or live_percent (of a ReLU FFN stored
    neuron by neuron, the neurons that are not dead)."""

    def of(self, name: str) -> CostGrid:
        """The cost of an operator. Raises `ValueError` where it was not measured."""
        if name not in self.operators:
            raise ValueError(
                f"the profile has no cost of {name}, only of {', '.join(self.operators)}; measure the device "
                "again with `phonelm profile`, and with the types that the shape is for"
            )
        return self.operators[name]


class DeviceProfile(_Record):
    """A measured device: all times are medians, in seconds."""

    version: Literal[3] = 3
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
    """Peak int8 operations per second (a multiply-add is two) by number of threads."""
    decode: PhaseCosts
    prefill: PhaseCosts
    head: CostGrid
    """Axes vocab, hidden, footprint_mb: norm and output head for one token, in both phases."""
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
                f"{path} is not a device profile of this version ({where}: {message_of(first)}); "
                "measure again with `phonelm profile`"
            ) from error
