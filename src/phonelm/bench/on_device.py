"""Times whole models on a device, by its `phonelm-cli bench`; on this machine as `measure_file` does."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from phonelm.bench.checks import check_counts, check_file
from phonelm.bench.process import measure_file
from phonelm.bench.result import DeviceTiming
from phonelm.devices import Device, DeviceError
from phonelm.devices.remote import RemoteDevice


def time_model(
    device: Device,
    path: Path | str,
    prompt_tokens: int = 512,
    generate: int = 128,
    repeats: int = 3,
    *,
    num_threads: int | None = None,
    isa: str | None = None,
    sparse_ffn: bool = True,
    kv_type: str = "f16",
) -> DeviceTiming:
    """Time a GGUF file on a device; it is brought there and deleted afterwards.

    Raises `ValueError` for a file, counts or options that are refused and for a device that goes away.
    """
    check_counts(prompt_tokens, generate, repeats)
    check_file(Path(path), prompt_tokens, generate)
    if not isinstance(device, RemoteDevice):
        counts = (prompt_tokens, generate, repeats)
        measured = measure_file(path, *counts, num_threads, isa, sparse_ffn, kv_type)
        return _timing(measured.model_dump())
    options = {
        "prefill": prompt_tokens,
        "decode": generate,
        "repeats": repeats,
        "kv": kv_type,
        "threads": num_threads,
        "isa": isa,
    }
    there = device.push(path, f"model-{os.getpid()}.gguf")
    try:
        result = bench_there(device, there, options, () if sparse_ffn else ("--dense",))
    finally:
        device.remove(there)
    return _timing({**result, "model": Path(path).name})


def bench_there(
    device: RemoteDevice, path: str, options: Mapping[str, object], flags: Sequence[str] = ()
) -> dict[str, Any]:
    """What `phonelm-cli bench` says there of a model that lies there; options of None are left out.

    Raises `DeviceError` for an answer that is no measurement.
    """
    words = [word for name, value in options.items() if value is not None for word in (f"--{name}", value)]
    answer = device.run("bench", path, *words, *flags, "--json")
    try:
        (result,) = json.loads(answer)["results"]
    except ValueError:
        raise DeviceError(
            f"{device.name} does not answer with a measurement ({answer[:80]!r}); bring it a newer "
            "program: --program"
        ) from None
    return dict(result)


def _timing(document: dict[str, Any]) -> DeviceTiming:
    return DeviceTiming.model_validate({name: document[name] for name in DeviceTiming.model_fields})
