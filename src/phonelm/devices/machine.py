"""A machine as the runtime sees it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from phonelm.files import fingerprint


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


def kernels_fingerprint() -> str:
    """Hash of the native module, so that rebuilt kernels are measured again."""
    from phonelm import _native

    return hashlib.sha256(Path(_native.__file__).read_bytes()).hexdigest()[:16]
