"""What bounds the speed of a model: bytes that decode reads, operations of a prompt, the machine's rates."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from phonelm._native import PANEL_ROWS
from phonelm.arch import DecoderConfig, kv_bytes_per_token
from phonelm.arch.arithmetic import BLOCKS, known_type, tensor_bytes
from phonelm.bench.result import BenchResult, Timing

if TYPE_CHECKING:
    from phonelm import _native

SCALE_BYTES = 2
"""Of a block of the types that dead neurons are skipped in: Q4_0, Q8_0."""
MIN_SAMPLES, SAMPLING_S = 3, 0.25
"""How often at least, and for how long, each rate is measured."""


def packed_bytes(model: _native.Model) -> dict[str, int]:
    """Bytes of each tensor as the kernels read it: rows in whole panels of 16."""
    sizes = {}
    for name, dims in model.tensor_shapes.items():
        columns, rows = (*dims, 1)[:2]
        padded = -(-rows // PANEL_ROWS) * PANEL_ROWS if rows > 1 else 1
        sizes[name] = tensor_bytes((padded, columns), model.tensor_types[name])
    return sizes


def bytes_by_type(sizes: Mapping[str, int], types: Mapping[str, str]) -> dict[str, int]:
    """Add up the bytes of the tensors of each type; the type with the most comes first."""
    totals: Counter[str] = Counter()
    for name, size in sizes.items():
        totals[types[name]] += size
    return dict(totals.most_common())


def decode_bytes(
    sizes: Mapping[str, int],
    config: DecoderConfig,
    prompt_tokens: int,
    generated_tokens: int,
    kv_type: str = "f16",
) -> int:
    """Bytes that one of the generated tokens reads on average: weights, keys and values.

    Every weight is read once, but of the embedding table only one row, unless it is the head too. The token
    after i others reads the keys and values of i + 1.
    """
    untied = "output.weight" in sizes
    weights = sum(size for name, size in sizes.items() if not (untied and name == "token_embd.weight"))
    return weights + round(kv_bytes_per_token(config, kv_type) * (prompt_tokens + (generated_tokens + 1) / 2))


def skipped_bytes(
    sizes: Mapping[str, int], types: Mapping[str, str], config: DecoderConfig, live_fractions: Sequence[float]
) -> int:
    """Bytes of dead neurons that a generated token does not read, by the share of active neurons per layer.

    Up's rows are skipped whole where there is a gate to tell that a neuron is dead; of down's columns the
    scales (2 bytes per block) are read for all.
    """
    skipped = 0.0
    for layer, live in enumerate(live_fractions):
        down = f"blk.{layer}.ffn_down.weight"
        skippable = sizes[down] * (1 - SCALE_BYTES / BLOCKS[known_type(types[down])][1])
        if config.layers[layer].ffn.gated:
            skippable += sizes[f"blk.{layer}.ffn_up.weight"]
        skipped += (1 - live) * skippable
    return round(skipped)


def with_limits(timing: Timing) -> BenchResult:
    """Measure the int8 rate of a timing's threads, and put both rates beside what was done.

    Threads beyond the number of cores add nothing to the rate.
    """
    from phonelm import _native

    workers = min(timing.prefill_threads, _native.cpu_info()["num_cores"])
    peak = best_rate(lambda: _native.peak_int8_ops(workers, timing.isa))
    read = timing.decode_bytes_per_token * timing.decode_tok_s.median
    return BenchResult(
        **timing.model_dump(),
        int8_ops_per_s=peak,
        decode_bandwidth_share=read / timing.bandwidth_bytes_per_s,
        prefill_peak_share=timing.prefill_ops_per_token * timing.prefill_tok_s.median / peak,
    )


def best_rate(rate: Callable[[], float], sampling_s: float = SAMPLING_S) -> float:
    """Measure a rate several times and return the best: noise only slows."""
    end = time.perf_counter() + sampling_s
    samples: list[float] = []
    while len(samples) < MIN_SAMPLES or time.perf_counter() < end:
        samples.append(rate())
    return max(samples)
