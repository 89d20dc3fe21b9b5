"""Runs the suite's models on a phone or a board, by its `phonelm-cli bench`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from phonelm.bench.on_device import bench_there
from phonelm.bench.result import Loaded, Spread
from phonelm.bench.suite.measure import DECODED, PROMPTS, ROUNDS
from phonelm.bench.suite.meter import LocalMeter, Meter
from phonelm.bench.suite.result import Measured, PromptTiming
from phonelm.devices import Device
from phonelm.devices.remote import RemoteDevice


def meter_of(device: Device) -> Meter:
    """What measures on a device that is open."""
    return DeviceMeter(device) if isinstance(device, RemoteDevice) else LocalMeter()


class DeviceMeter:
    """A device behind adb or ssh. It tells no times by part of the model."""

    def __init__(self, device: RemoteDevice) -> None:
        self._device = device
        self.machine = device.machine()
        self.kernels = device.kernels

    def obstacle(self, needed_bytes: int) -> str:
        """Nothing: the program there refuses what does not fit."""
        return ""

    def measure(self, path: Path, load_options: Mapping[str, Any]) -> Measured:
        """Copy the file there, measure each prompt in a separate process, and delete it."""
        there = self._device.push(path, path.name)
        try:
            answers = [self._bench(there, length, load_options) for length in PROMPTS]
        finally:
            self._device.remove(there)
        # The longest prompt is the last: its memory is the model's.
        last = answers[-1]
        return Measured(
            **{name: last[name] for name in Loaded.model_fields},
            prompts=[_timing(answer) for answer in answers],
        )

    def _bench(self, there: str, length: int, load_options: Mapping[str, Any]) -> dict[str, Any]:
        options = {
            "prefill": length,
            "decode": DECODED,
            "repeats": ROUNDS,
            "threads": load_options["num_threads"],
            "isa": load_options["isa"],
        }
        return bench_there(self._device, there, options)


def _timing(result: Mapping[str, Any]) -> PromptTiming:
    rate = result["decode_tok_s"]
    return PromptTiming(
        prompt_tokens=result["prompt_tokens"],
        decoded_tokens=result["generated_tokens"],
        prefill_s=Spread.model_validate(result["first_token_s"]),
        decode_s=Spread(median=1 / rate["median"], low=1 / rate["high"], high=1 / rate["low"]),
        prefill_parts_s={},
        decode_parts_s={},
    )
