"""Whole models with random weights on a device behind adb or ssh, as `measure` does on this machine."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path

from phonelm.arch import DecoderConfig
from phonelm.bench.on_device import time_model
from phonelm.bench.result import DeviceTiming
from phonelm.profile import Device, DeviceProfile
from phonelm.profile.conditions import relative_range
from phonelm.progress import Progress
from phonelm.search.cost import Request
from phonelm.search.measure import WholeModel


def measure_models_on(
    device: Device,
    configs: Sequence[DecoderConfig],
    request: Request,
    profile: DeviceProfile,
    *,
    rounds: int = 3,
    progress: Progress | None = None,
) -> list[WholeModel]:
    """Time every decoder with random weights of the profile's types on the device that was profiled.

    The models are brought there one after the other, `rounds` times in turn, and deleted. Decode is the mean
    over the answer, whose middle the search prices. The device's state is not probed: all samples count.
    Raises `ValueError` for a profile of another device or kernels, and when the device goes away.
    """
    from phonelm.formats import write_random_gguf

    _require_same(device, profile)
    progress = progress or Progress()
    timings: list[list[DeviceTiming]] = [[] for _ in configs]
    with (
        tempfile.TemporaryDirectory(prefix="phonelm-models-") as folder,
        progress.bar("measuring whole models", rounds * len(configs)) as advance,
    ):
        for _ in range(rounds):
            for i, config in enumerate(configs):
                path = Path(folder) / "model.gguf"
                write_random_gguf(path, config, profile.block_type, profile.head_type)
                timings[i].append(_time(device, path, request, profile))
                advance(1)
    return [_summary(of_model) for of_model in timings]


def _require_same(device: Device, profile: DeviceProfile) -> None:
    machine = device.machine()
    if machine != profile.machine or device.kernels != profile.kernels:
        raise ValueError(
            f"the profile is of {profile.machine.model} with kernels {profile.kernels}, and {device.name} is "
            f"{machine.model} with kernels {device.kernels}; measure it with `phonelm profile --device "
            f"{device.name}`"
        )


def _time(device: Device, path: Path, request: Request, profile: DeviceProfile) -> DeviceTiming:
    return time_model(
        device,
        path,
        request.prompt_tokens,
        request.output_tokens,
        num_threads=profile.num_threads,
        isa=profile.isa,
    )


def _summary(timings: Sequence[DeviceTiming]) -> WholeModel:
    decode, prefill = ([1e3 * getattr(t, name) for t in timings] for name in ("decode_s", "prefill_s"))
    return WholeModel(
        decode_ms=statistics.median(decode),
        prefill_ms=statistics.median(prefill),
        decode_spread=relative_range(decode),
        prefill_spread=relative_range(prefill),
        usual_share=1.0,
    )
