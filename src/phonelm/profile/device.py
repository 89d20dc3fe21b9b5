"""What a device can do: the machine, its limits, and the cost of each operator, as one JSON document."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from phonelm.files import fingerprint, read_json, write_json
from phonelm.profile.grid import CostGrid

FORMAT_VERSION = 1
"""Raised with the fields below; a profile of another version is measured again."""


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class MachineInfo(_Record):
    """The machine as the runtime sees it."""

    model: str
    system: str
    num_cores: int
    isas: list[str]
    caches_bytes: dict[str, int]

    @property
    def fingerprint(self) -> str:
        """Equal for two machines that should cost the same."""
        return fingerprint(self.model_dump())


class Bandwidth(_Record):
    """Bytes a second read by `num_threads` threads from a buffer of `buffer_bytes`."""

    num_threads: int
    buffer_bytes: int
    bytes_per_s: float


class PhaseCosts(_Record):
    """Seconds of each operator when `num_tokens` tokens are evaluated together (1: decode)."""

    num_tokens: int
    matmul_block: CostGrid
    """Axes rows, cols: a matrix of the blocks, with the barrier after it."""
    attention: CostGrid
    """Axes head_dim, group (query heads a KV head), kv_heads, context (positions, the new ones included)."""
    norm: CostGrid
    """Axis hidden: norm and quantization of the activations."""
    activation: CostGrid
    """Axis intermediate: activation, product and quantization."""
    overhead: CostGrid
    """Axes vocab, hidden: waking the threads, the embedding, the rotary angles, the choice of a token."""


class DeviceProfile(_Record):
    """A measured device: all times are medians, in seconds."""

    version: Literal[1] = 1
    machine: MachineInfo
    isa: str
    num_threads: int
    kernels: str
    """Hash of the native module that was measured."""
    quick: bool
    footprint_bytes: int = Field(ge=0)
    """Weights that pass through the caches between two uses of a matrix, as in a model of that size."""
    block_type: str = "q4_0"
    head_type: str = "q8_0"
    bandwidth: list[Bandwidth]
    int8_ops_per_s: dict[int, float]
    """Peak int8 operations a second (a multiply-add is two) by number of threads."""
    decode: PhaseCosts
    prefill: PhaseCosts
    head: CostGrid
    """Axes rows (vocabulary), cols: the output head for one token, in decode and at the end of a prompt."""
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


def machine_info() -> MachineInfo:
    """Describe this machine."""
    from phonelm import _native

    info = _native.cpu_info()
    return MachineInfo(
        model=info["model"],
        system=f"{platform.system()} {platform.machine()}",
        num_cores=info["num_cores"],
        isas=list(info["isas"]),
        caches_bytes={name: int(size) for name, size in info["caches_bytes"].items()},
    )


def kernels_fingerprint() -> str:
    """Hash of the native module, so that rebuilt kernels are measured anew."""
    import hashlib

    from phonelm import _native

    return hashlib.sha256(Path(_native.__file__).read_bytes()).hexdigest()[:16]
