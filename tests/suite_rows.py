"""Rows of the suite as a machine that never was would have given them: times in proportion to the shapes."""

from __future__ import annotations

from typing import Any

from phonelm.arch import count_parameters, kv_bytes_per_token
from phonelm.arch.arithmetic import weight_bytes
from phonelm.bench import Spread
from phonelm.bench.suite import Entry, PromptTiming, SuiteRow
from phonelm.devices import MachineInfo

MACHINE = MachineInfo(
    model="Test CPU", system="Linux x86_64", num_cores=2, isas=["scalar"], caches_bytes={"L2": 1 << 20}
)


def synthetic_row(entry: Entry, block_type: str = "q4_0", **changes: Any) -> SuiteRow:
    """A row of 0.1 ns a parameter and token in decode, a tenth of that in prefill."""
    counts = count_parameters(entry.shape)
    size = weight_bytes(entry.shape, block_type, "q8_0")
    fields: dict[str, Any] = {
        "isa": "scalar",
        "prefill_threads": 2,
        "decode_threads": 2,
        "prompts": [_timing(length, counts.total, counts.embedding) for length in (50, 512)],
        "load_s": size / 1e9,
        "file_bytes": size,
        "base_bytes": 40_000_000,
        "weight_bytes": size,
        "kv_bytes": 528 * kv_bytes_per_token(entry.shape),
        "buffer_bytes": 30_000_000,
        "peak_rss_bytes": size + 528 * kv_bytes_per_token(entry.shape) + 70_000_000,
        "machine": MACHINE,
        "kernels": "0123456789abcdef",
        "settings": {},
        "shape": entry.shape,
        "parameters": counts.total,
        "block_type": block_type,
        "head_type": "q8_0",
        "measured_as": entry.names[0],
        "made_at": "2026-01-02T03:04:05+0000",
    }
    return SuiteRow(**{**fields, **changes})


def _timing(length: int, parameters: int, embedding: int) -> PromptTiming:
    prefill, decode = 1e-11 * parameters * length, 1e-10 * parameters * (1 + length / 5000)
    head = embedding / parameters
    shares = {"attention": 0.3, "ffn": 0.6, "head": 0.05, "norms": 0.03, "overhead": 0.02}
    in_decode = {**{name: share * (1 - head) / 0.95 for name, share in shares.items()}, "head": head}
    return PromptTiming(
        prompt_tokens=length,
        decoded_tokens=16,
        prefill_s=Spread(median=prefill, low=0.9 * prefill, high=1.2 * prefill),
        decode_s=Spread(median=decode, low=0.9 * decode, high=1.2 * decode),
        prefill_parts_s={name: share * prefill for name, share in shares.items()},
        decode_parts_s={name: share * decode for name, share in in_decode.items()},
    )
