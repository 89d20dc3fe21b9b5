"""Profiles this machine, and keeps the profile so that a second call takes no time."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from phonelm.files import cache_folder, fingerprint, provenance
from phonelm.profile.device import (
    FORMAT_VERSION,
    Bandwidth,
    DeviceProfile,
    MachineInfo,
    PhaseCosts,
    kernels_fingerprint,
    machine_info,
)
from phonelm.profile.operators import DECODE_TOKENS, PREFILL_TOKENS, Measured, measure_operators
from phonelm.progress import Progress

MB = 2**20
BUSY_SPREAD = 0.5
"""Of repeats on a busy machine; an idle one stays under a tenth of it."""
SMALL_BUFFER, LARGE_BUFFER = 1 * MB, 256 * MB


class ProfileConfig(BaseModel):
    """What to measure."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    quick: bool = True
    """About half a minute instead of about two minutes."""
    footprint_mb: float | None = Field(default=None, gt=0)
    """Weight bytes of the models to come (MiB), which decide how cold the caches are; None: 64."""
    block_type: Literal["q4_0", "q4_1", "q8_0"] = "q4_0"
    head_type: Literal["q8_0", "q4_0", "q4_1"] = "q8_0"


def profile_device(
    config: ProfileConfig | None = None, *, progress: Progress | None = None, fresh: bool = False
) -> DeviceProfile:
    """Measure this machine, or return the kept profile of the same machine, kernels and configuration.

    The profile is kept in the cache folder. `fresh` measures anyway.

    Instruction set and threads are the runtime's own choice (`PHONELM_ISA` forces the former).
    """
    config, progress = config or ProfileConfig(), progress or Progress()
    machine, kernels = machine_info(), kernels_fingerprint()
    isa = os.environ.get("PHONELM_ISA") or machine.isas[-1]
    footprint = footprint_class(int((config.footprint_mb or 64) * MB), machine)
    key = [FORMAT_VERSION, machine.fingerprint, kernels, isa, footprint, config.block_type, config.head_type]
    path = cache_folder() / "profiles" / f"{fingerprint([*key, config.quick])}.json"
    if not fresh and (kept := _kept(path)):
        return kept
    begin = time.perf_counter()
    profile = _measure(config, machine, kernels, isa, footprint, progress)
    profile = profile.model_copy(
        update={
            "made": provenance(
                config=config.model_dump(mode="json"), wall_s=round(time.perf_counter() - begin, 3)
            )
        }
    )
    profile.save(path)
    if profile.spread > BUSY_SPREAD:
        progress.line(
            f"  this machine was busy while it was measured (repeats lie {profile.spread:.0%} apart): "
            "predictions may be off; when it is idle, run: phonelm profile --fresh"
        )
    return profile


def footprint_class(num_bytes: int, machine: MachineInfo) -> int:
    """Round to a power of two from 1 MiB up to twice the last cache, beyond which all caches are cold."""
    last_cache = max(machine.caches_bytes.values(), default=32 * MB)
    size = MB
    while size < min(num_bytes, 2 * last_cache) / 1.42:
        size *= 2
    return size


def _kept(path: Path) -> DeviceProfile | None:
    try:
        return DeviceProfile.load(path)
    except (FileNotFoundError, ValueError):
        return None


def _measure(
    config: ProfileConfig, machine: MachineInfo, kernels: str, isa: str, footprint: int, progress: Progress
) -> DeviceProfile:
    from phonelm import _native

    threads = machine.num_cores
    counts = sorted({1, 2, threads // 2, threads} - {0} & set(range(1, threads + 1)))
    bandwidth = [
        Bandwidth(
            num_threads=n, buffer_bytes=size, bytes_per_s=_native.read_bandwidth(size, n, min_time_ms=20.0)
        )
        for size in (SMALL_BUFFER, LARGE_BUFFER)
        for n in counts
    ]
    peak = {n: _native.peak_int8_ops(n, isa) for n in counts}
    measured = measure_operators(
        footprint_bytes=footprint,
        quick=config.quick,
        seconds=20.0 if config.quick else 110.0,
        isa=isa,
        num_threads=threads,
        block_type=config.block_type,
        head_type=config.head_type,
        progress=progress,
    )
    return DeviceProfile(
        machine=machine,
        isa=isa,
        num_threads=threads,
        kernels=kernels,
        quick=config.quick,
        footprint_bytes=footprint,
        block_type=config.block_type,
        head_type=config.head_type,
        bandwidth=bandwidth,
        int8_ops_per_s=peak,
        decode=_phase(measured, "decode", DECODE_TOKENS),
        prefill=_phase(measured, "prefill", PREFILL_TOKENS),
        head=measured.grids["head"],
        spread=measured.spread,
        made={},
    )


def _phase(measured: Measured, phase: str, num_tokens: int) -> PhaseCosts:
    names = ("matmul_block", "attention", "norm", "activation", "overhead")
    grids: dict[str, Any] = {name: measured.grids[f"{phase}.{name}"] for name in names}
    return PhaseCosts(num_tokens=num_tokens, **grids)
