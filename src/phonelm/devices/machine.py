"""A machine as the runtime sees it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from phonelm.files import file_hash, fingerprint


class MachineInfo(BaseModel):
    """The machine as the runtime sees it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str
    system: str
    num_cores: int
    isas: list[str]
    caches_bytes: dict[str, int]

    @classmethod
    def from_answer(cls, answer: str) -> MachineInfo:
        """Read what the measuring protocol answers to `machine`."""
        document = json.loads(answer)
        return cls(**{name: document[name] for name in cls.model_fields})

    @property
    def fingerprint(self) -> str:
        """Equal for two machines that should cost the same."""
        return fingerprint(self.model_dump())


def machine_info() -> MachineInfo:
    """Describe this machine."""
    from phonelm import _native

    return MachineInfo.from_answer(_native.OperatorBench().answer("machine"))


def machine_record() -> dict[str, Any]:
    """This machine as results name it: what the core says, without the processor's list of features."""
    from phonelm import _native

    return {key: value for key, value in _native.cpu_info().items() if key != "flags"}


def kernels_fingerprint() -> str:
    """Hash of the native module, so that rebuilt kernels are measured again."""
    from phonelm import _native

    return file_hash(Path(_native.__file__))[:16]
