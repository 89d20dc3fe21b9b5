"""Where the suite's models run: this machine."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from phonelm.bench.process import in_own_process
from phonelm.bench.suite.measure import measure_model
from phonelm.bench.suite.result import Measured
from phonelm.devices import MachineInfo, kernels_fingerprint, machine_info


class Meter(Protocol):
    """A machine on which models are measured."""

    machine: MachineInfo
    kernels: str
    """Hash of what is measured."""

    def obstacle(self, needed_bytes: int) -> str:
        """Why a model that needs so much memory cannot run there now; empty if that is not known."""

    def measure(self, path: Path, load_options: Mapping[str, Any]) -> Measured:
        """Measure a file. Raises `ValueError` and `MemoryError` for a model that cannot run there."""


class LocalMeter:
    """This machine, each model in a separate process."""

    def __init__(self) -> None:
        self.machine = machine_info()
        self.kernels = kernels_fingerprint()

    def obstacle(self, needed_bytes: int) -> str:
        """What of this machine's memory is lacking."""
        from phonelm import _native

        memory, holder = _native.available_memory()
        if needed_bytes <= memory:
            return ""
        needed, available = needed_bytes / 1e9, memory / 1e9
        return f"needs {needed:.1f} GB of memory, of which {holder} has {available:.1f} available"

    def measure(self, path: Path, load_options: Mapping[str, Any]) -> Measured:
        """Measure here, in a process that ends with this call."""
        return in_own_process(measure_model, path, load_options)
