"""Runs the suite's models on a phone or a board, by its `phonelm-cli bench`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from phonelm.bench.result import Spread
from phonelm.bench.suite.measure import DECODED, PROMPTS, ROUNDS
from phonelm.bench.suite.meter import LocalMeter, Meter
from phonelm.bench.suite.result import Measured, PromptTiming
from phonelm.profile import Device, DeviceError
from phonelm.profile.remote import RemoteDevice

_FIGURES = ("isa", "prefill_threads", "decode_threads", "load_s", "file_bytes", "base_bytes", "weight_bytes")


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
        """Bring the file there, measure each prompt in a process of its own, and delete it."""
        there = self._device.push(path, path.name)
        try:
            answers = [self._bench(there, length, load_options) for length in PROMPTS]
        finally:
            self._device.remove(there)
        # The longest prompt is the last: its memory is the model's.
        last = answers[-1]
        return Measured(
            **{name: last[name] for name in (*_FIGURES, "kv_bytes", "buffer_bytes", "peak_rss_bytes")},
            prompts=[_timing(answer) for answer in answers],
        )

    def _bench(self, there: str, length: int, load_options: Mapping[str, Any]) -> dict[str, Any]:
        words: list[object] = [
            "bench",
            there,
            "--prefill",
            length,
            "--decode",
            DECODED,
            "--repeats",
            ROUNDS,
            "--json",
        ]
        forced = {"--threads": load_options["num_threads"], "--isa": load_options["isa"]}
        for name, value in forced.items():
            words += [name, value] if value is not None else []
        answer = self._device.run(*words)
        try:
            (result,) = json.loads(answer)["results"]
        except ValueError:
            raise DeviceError(
                f"{self._device.name} does not answer with a measurement ({answer[:80]!r}); bring it a newer "
                "program: --program"
            ) from None
        return dict(result)


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
