"""Profiles a device, and keeps the profile so that a second call takes no time."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from phonelm._native import CHUNK_TOKENS
from phonelm.devices import Device, LocalDevice, MachineInfo
from phonelm.devices.asking import number
from phonelm.files import cache_folder, fingerprint, provenance
from phonelm.preconditions import require_cache
from phonelm.profile.device import FORMAT_VERSION, Bandwidth, DeviceProfile, PhaseCosts
from phonelm.profile.grid import CostGrid
from phonelm.profile.neighbours import cpu_times, others_share
from phonelm.profile.operators import Settings, measure_operators
from phonelm.profile.tables import cost_tables
from phonelm.progress import Progress
from phonelm.words import counted

MB = 2**20
BUSY_SHARE = 0.1
"""Of all cores used by others, above which a machine is busy."""
BUSY_SPREAD = 0.5
"""Of repeats on a busy machine; an idle one stays under a tenth of it."""
DRIFT = 0.1
"""Of the last repeats from the first where a device throttles."""
SMALL_BUFFER, LARGE_BUFFER = 1 * MB, 256 * MB
QUICK_S, FULL_S = 22.0, 150.0
"""For the operators; the rest takes a few seconds."""


class ProfileConfig(BaseModel):
    """What to measure."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    quick: bool = True
    """About half a minute instead of about two minutes."""
    block_type: Literal["q4_0", "q4_1", "q8_0"] = "q4_0"
    head_type: Literal["q8_0", "q4_0", "q4_1"] = "q8_0"
    num_threads: int | None = Field(default=None, ge=1)
    """One per core if None. A phone's small cores slow its large ones down."""


def profile_device(
    config: ProfileConfig | None = None,
    *,
    device: Device | None = None,
    progress: Progress | None = None,
    fresh: bool = False,
) -> DeviceProfile:
    """Measure a device, or return the cached profile of the same machine, kernels and configuration.

    The profile is kept in the cache folder. `fresh` measures anyway. No `device`: this machine.
    Raises `OSError` before anything is measured where the cache folder cannot be written to, and
    `DeviceGoneError` (a `ValueError`) when the device goes away in the middle.

    Instruction set and threads are the runtime's own choice (`PHONELM_ISA` forces the former).
    """
    config, progress = config or ProfileConfig(), progress or Progress()
    device = device or LocalDevice()
    machine = device.machine()
    isa = os.environ.get("PHONELM_ISA") or machine.isas[-1]
    threads = _num_threads(config, machine)
    key = [FORMAT_VERSION, machine.fingerprint, device.kernels, isa, config.block_type, config.head_type]
    path = cache_folder() / "profiles" / f"{fingerprint([*key, config.quick, threads])}.json"
    if not fresh and (kept := _kept(path)):
        made_at = str(kept.made.get("made_at", ""))[:10]
        progress.line(
            f"  the profile of {made_at}, kept at {path}; to measure again: phonelm profile --fresh"
        )
        _warn(kept, progress)
        return kept
    require_cache()
    begin, before = time.perf_counter(), cpu_times()
    profile = _measure(config, device, machine, isa, threads, progress)
    share = others_share(before, cpu_times()) if isinstance(device, LocalDevice) else None
    profile = profile.model_copy(
        update={
            "conditions": profile.conditions.model_copy(update={"others_share": share}),
            "made": provenance(
                config={**config.model_dump(mode="json"), "device": device.name},
                wall_s=round(time.perf_counter() - begin, 3),
            ),
        }
    )
    profile.save(path)
    _warn(profile, progress)
    return profile


def _warn(profile: DeviceProfile, progress: Progress) -> None:
    for warning in warnings_of(profile):
        progress.line(f"  {warning}: predictions may be off; when it is idle, run: phonelm profile --fresh")


def warnings_of(profile: DeviceProfile) -> list[str]:
    """What was not right while the device was measured."""
    warnings, drift = [], profile.conditions.drift
    if (share := profile.conditions.others_share or 0.0) > BUSY_SHARE:
        warnings.append(
            f"the device was busy while it was measured (other processes used {share:.0%} of its cores)"
        )
    if profile.spread > BUSY_SPREAD:
        warnings.append(f"the device was busy while it was measured (repeats lie {profile.spread:.0%} apart)")
    if drift > DRIFT:
        warnings.append(f"the device slowed down by {drift:.0%} while it was measured, as from heat")
    return warnings


def probe_bytes(machine: MachineInfo) -> int:
    """Bytes of a probe of the machine's state: what no cache holds, were it there once for every thread."""
    return min(max(6 * last_cache_bytes(machine), 16 * MB), 256 * MB)


def last_cache_bytes(machine: MachineInfo) -> int:
    """Size of the largest cache; 8 MiB where the system does not tell."""
    return max(machine.caches_bytes.values(), default=8 * MB)


def _num_threads(config: ProfileConfig, machine: MachineInfo) -> int:
    if (config.num_threads or 1) > machine.num_cores:
        raise ValueError(
            f"{config.num_threads} threads are more than the {counted(machine.num_cores, 'core')} of "
            f"{machine.model}; "
            "take fewer"
        )
    return config.num_threads or machine.num_cores


def _kept(path: Path) -> DeviceProfile | None:
    try:
        return DeviceProfile.load(path)
    except (FileNotFoundError, ValueError):
        return None


def _measure(
    config: ProfileConfig, device: Device, machine: MachineInfo, isa: str, threads: int, progress: Progress
) -> DeviceProfile:
    ask = device.ask
    counts = sorted({1, 2, threads // 2, threads} - {0} & set(range(1, threads + 1)))
    bandwidth = [
        Bandwidth(
            num_threads=n,
            buffer_bytes=size,
            bytes_per_s=number(ask, f"bandwidth bytes={size} min_ms=20 threads={n}"),
        )
        for n in counts
        for size in (SMALL_BUFFER, LARGE_BUFFER)
    ]
    peak = {n: number(ask, f"int8 threads={n} isa={isa}") for n in counts}
    measured = measure_operators(
        cost_tables(config.quick, threads, last_cache_bytes(machine), config.block_type, config.head_type),
        ask,
        Settings(2.0 if config.quick else 4.0, isa, threads, probe_bytes(machine)),
        QUICK_S if config.quick else FULL_S,
        progress,
    )
    grids = measured.grids
    return DeviceProfile(
        machine=machine,
        isa=isa,
        num_threads=threads,
        kernels=device.kernels,
        quick=config.quick,
        block_type=config.block_type,
        head_type=config.head_type,
        bandwidth=bandwidth,
        int8_ops_per_s=peak,
        decode=_phase(grids, "decode", 1),
        prefill=_phase(grids, "prefill", CHUNK_TOKENS),
        head=grids["head"],
        sampling=grids["sampling"],
        barrier_s=grids["barrier"].seconds[0],
        conditions=measured.conditions,
        num_passes=measured.num_passes,
        spread=measured.spread,
        made={},
    )


def _phase(grids: dict[str, CostGrid], phase: str, num_tokens: int) -> PhaseCosts:
    of_phase = {
        name.removeprefix(f"{phase}."): grid for name, grid in grids.items() if name.startswith(f"{phase}.")
    }
    return PhaseCosts(num_tokens=num_tokens, operators=of_phase)
