"""Times whole models on a device, by its `phonelm-cli bench`; on this machine as `measure_file` does."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from phonelm.bench.checks import check_counts, check_file
from phonelm.bench.process import measure_file
from phonelm.bench.result import Spread
from phonelm.profile import Device, DeviceError
from phonelm.profile.remote import RemoteDevice


class DeviceTiming(BaseModel):
    """What one model did on a device: the figures of `BenchResult` that need no Python there."""

    model_config = ConfigDict(frozen=True)

    model: str
    isa: str
    prefill_threads: int
    decode_threads: int
    kv_type: str
    prompt_tokens: int
    generated_tokens: int
    repeats: int
    prefill_tok_s: Spread
    decode_tok_s: Spread
    first_token_s: Spread
    load_s: float
    file_bytes: int
    base_bytes: int
    weight_bytes: int
    kv_bytes: int
    buffer_bytes: int
    peak_rss_bytes: int
    dense_bytes_per_token: int
    bandwidth_bytes_per_s: float
    live_fractions: list[float]

    @property
    def prefill_s(self) -> float:
        """Seconds for the whole prompt, the median."""
        return self.prompt_tokens / self.prefill_tok_s.median

    @property
    def decode_s(self) -> float:
        """Seconds a token, the median."""
        return 1 / self.decode_tok_s.median


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
        result = measure_file(path, *counts, num_threads, isa, sparse_ffn, kv_type)
        return _timing(result.model_dump())
    words: dict[str, object] = {
        "--prefill": prompt_tokens,
        "--decode": generate,
        "--repeats": repeats,
        "--kv": kv_type,
    }
    words |= {"--threads": num_threads} if num_threads else {}
    words |= {"--isa": isa} if isa else {}
    flags = [] if sparse_ffn else ["--dense"]
    return _time_there(device, Path(path), [*(word for pair in words.items() for word in pair), *flags])


def _time_there(device: RemoteDevice, path: Path, words: list[object]) -> DeviceTiming:
    there = device.push(path, f"model-{os.getpid()}.gguf")
    try:
        answer = device.run("bench", there, *words, "--json")
    finally:
        device.remove(there)
    try:
        (result,) = json.loads(answer)["results"]
    except ValueError:
        raise DeviceError(f"{device.name} does not answer with a measurement ({answer[:80]!r})") from None
    return _timing({**result, "model": path.name})


def _timing(document: dict[str, Any]) -> DeviceTiming:
    return DeviceTiming.model_validate({name: document[name] for name in DeviceTiming.model_fields})
