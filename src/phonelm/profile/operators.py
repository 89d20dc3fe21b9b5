"""Measures the cost table: every operator of the graph with the shipped kernels, in decode and in prefill.

All cells are measured once, then all again, and so on: a disturbance of a second then spoils one repeat of
some cells and not all repeats of one. Each repeat is a median over calls; what else runs on a machine only
ever adds time, so the lower quartile of the repeats counts.
"""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from phonelm.profile.grid import CostGrid
from phonelm.progress import Progress

DECODE_TOKENS = 1
PANEL_ROWS = 16
"""Rows of a matrix that a thread takes at a time."""
PREFILL_TOKENS = 128
"""Tokens of a prompt evaluated together when the prefill costs are measured."""


@dataclass
class Cell:
    """One point of one table: how to measure it and what was measured (seconds)."""

    table: str
    measure: Callable[[], float]
    samples: list[float] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        """Lower quartile of the repeats."""
        return float(np.percentile(self.samples, 25))

    @property
    def spread(self) -> float:
        """Range of the repeats over their median."""
        middle = statistics.median(self.samples)
        return (max(self.samples) - min(self.samples)) / middle if middle > 0 else 0.0


@dataclass
class Measured:
    """Cost tables by name, and how far the repeats lie apart."""

    grids: dict[str, CostGrid]
    spread: float
    passes: int


def measure_operators(
    *,
    footprint_bytes: int,
    quick: bool,
    seconds: float,
    isa: str,
    num_threads: int,
    block_type: str,
    head_type: str,
    progress: Progress,
) -> Measured:
    """Measure all tables within about `seconds` (at least one pass, at most 9 quick or 15 full ones)."""
    tail = {
        "footprint_bytes": footprint_bytes,
        "min_time_ms": 2.0 if quick else 5.0,
        "isa": isa,
        "num_threads": num_threads,
    }
    axes, calls = _tables(quick, num_threads, block_type, head_type)
    cells = [
        Cell(name, _bound(calls[name], sizes, tail))
        for name in axes
        for sizes in itertools.product(*axes[name].values())
    ]
    passes = _repeat(cells, seconds, 9 if quick else 15, progress)
    grids = {
        name: CostGrid(axes=points, seconds=[cell.seconds for cell in cells if cell.table == name])
        for name, points in axes.items()
    }
    return Measured(grids, statistics.median(cell.spread for cell in cells), passes)


def _repeat(cells: Sequence[Cell], seconds: float, most: int, progress: Progress) -> int:
    """Measure every cell pass after pass; a pass that would not end in time is not begun."""
    begin = time.perf_counter()
    passes = 0
    with progress.bar("measuring operators", seconds) as advance:
        while passes < most and (
            passes == 0 or (time.perf_counter() - begin) * (passes + 1) / passes < seconds
        ):
            for cell in cells:
                cell_begin = time.perf_counter()
                cell.samples.append(cell.measure())
                advance(time.perf_counter() - cell_begin)
            passes += 1
    return passes


def _bound(call: Callable[..., float], sizes: tuple[int, ...], tail: dict[str, Any]) -> Callable[[], float]:
    return lambda: call(*sizes, **tail)


Axes = dict[str, dict[str, list[int]]]


def _tables(
    quick: bool, num_threads: int, block_type: str, head_type: str
) -> tuple[Axes, dict[str, Callable[..., float]]]:
    """The grids, and the function that measures a point of each (sizes in the order of the axes)."""
    from phonelm import _native

    def matmul(kind: str, tokens: int) -> Callable[..., float]:
        return lambda rows, cols, **tail: _native.bench_matmul(kind, rows, cols, tokens, **tail)

    def attention(tokens: int) -> Callable[..., float]:
        return lambda head_dim, group, kv_heads, context, **tail: _native.bench_attention(
            kv_heads * group, kv_heads, head_dim, context, tokens, **tail
        )

    axes: Axes = {}
    calls: dict[str, Callable[..., float]] = {}
    for phase, tokens in (("decode", DECODE_TOKENS), ("prefill", PREFILL_TOKENS)):
        axes |= {
            f"{phase}.{name}": points for name, points in _phase_axes(quick, num_threads, tokens).items()
        }
        calls[f"{phase}.matmul_block"] = matmul(block_type, tokens)
        calls[f"{phase}.attention"] = attention(tokens)
        calls[f"{phase}.norm"] = lambda hidden, t=tokens, **tail: _native.bench_norm(hidden, t, **tail)
        calls[f"{phase}.activation"] = lambda size, t=tokens, **tail: _native.bench_activation(
            size, t, **tail
        )
        calls[f"{phase}.overhead"] = lambda vocab, hidden, t=tokens, **tail: _native.bench_token_overhead(
            vocab, hidden, t, **tail
        )
    axes["head"] = {
        "rows": [1024, 4096, 16384, 49152],
        "cols": [64, 256, 1024] if quick else [64, 128, 256, 512, 1024, 2048],
    }
    calls["head"] = matmul(head_type, 1)
    return axes, calls


def _phase_axes(quick: bool, num_threads: int, num_tokens: int) -> Axes:
    """Grids of one phase. Rows and heads are multiples that all threads share evenly (see `search.cost`)."""
    wide = [64, 128, 256, 512, 1024, 2048] if quick else [64, 128, 256, 512, 1024, 2048, 4096, 8192]
    contexts = [num_tokens, 512] if num_tokens > 1 else [16, 256, 1024]
    doublings = range(0, 7 if quick else 9)
    return {
        "matmul_block": {
            "rows": [2 * PANEL_ROWS * num_threads * 2**i for i in doublings],
            "cols": wide,
        },
        "attention": {
            "head_dim": [32, 64, 128] if quick else [32, 64, 96, 128, 192, 256],
            "group": [1, 4] if quick else [1, 2, 4, 8],
            "kv_heads": [num_threads * n for n in ([1, 2, 4] if quick else [1, 2, 4, 8])],
            "context": contexts if quick else [*contexts, 2048, 4096],
        },
        "norm": {"hidden": [64, 256, 1024, 4096]},
        "activation": {"intermediate": [64, 512, 2048, 8192]},
        "overhead": {"vocab": [1024, 8192, 49152], "hidden": [64, 1024]},
    }
