"""Which operators are measured at which sizes: the cost table, as data."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

PANEL_ROWS = 16
"""Rows of a matrix that a thread takes at a time."""
CHUNK_TOKENS = 256
"""Tokens of a prompt that the runtime evaluates together (`Scratch::kMaxChunk`)."""

NEURON_TYPES = ("q4_0", "q8_0")
"""Block types in which the FFN of a ReLU model is stored neuron by neuron."""
NEURON_COLUMNS = 64
"""What its width must be a multiple of."""
_LARGEST_CACHE_MB = 128
"""Of which a footprint of eight times its size can still be measured."""

Sizes = dict[str, int]
Bound = Literal["memory", "arithmetic"]
"""Which rate of the machine an operator follows."""


@dataclass(frozen=True)
class Table:
    """One operator over a grid of sizes. Sizes that the operator knows by another name are in `words`."""

    name: str
    operator: str
    axes: dict[str, list[int]]
    words: Mapping[str, object] = field(default_factory=dict)
    """What every request says besides the sizes."""

    @property
    def bound(self) -> Bound:
        """A prompt multiplies, a token reads."""
        return "arithmetic" if self.name.startswith("prefill.") else "memory"

    def points(self) -> Iterator[Sizes]:
        """All sizes of the grid, last axis fastest."""
        for values in itertools.product(*self.axes.values()):
            yield dict(zip(self.axes, values, strict=True))

    def request(self, sizes: Sizes) -> str:
        """The request for one point, without the settings of the whole measurement."""
        known = dict(sizes)
        if "footprint_mb" in known:
            known["footprint"] = known.pop("footprint_mb") << 20
        if "group" in known:
            known["heads"] = known.pop("group") * known["kv_heads"]
        words = {**self.words, **known}
        return " ".join([self.operator, *(f"{key}={value}" for key, value in words.items())])


def cost_tables(
    quick: bool, num_threads: int, last_cache_bytes: int, block_type: str, head_type: str
) -> list[Table]:
    """All tables. Rows are multiples that all threads share evenly (see `search.cost`).

    What is read from memory costs less where the weights of the whole model, its footprint, stay in a cache.
    """
    footprints = _footprints(last_cache_bytes, quick)
    matrices = {"rows": _doublings(2 * PANEL_ROWS * num_threads, 16384), "cols": _doublings(64, 8192)}
    return [
        *_decode_matrices(quick, matrices, footprints, block_type),
        *_prefill_matrices(quick, matrices, footprints[-1] << 20, block_type),
        _head(quick, footprints, head_type),
        Table("sampling", "sampling", {"vocab": [1024, 8192, 49152]}),
        Table("barrier", "barrier", {}),
        *_vectors(quick, "decode", 1),
        *_vectors(quick, "prefill", CHUNK_TOKENS),
        *(_neurons(quick, footprints, block_type) if block_type in NEURON_TYPES else []),
    ]


def _decode_matrices(
    quick: bool, matrices: dict[str, list[int]], footprints: list[int], block_type: str
) -> list[Table]:
    sizes = {name: points[:: 2 if quick else 1] for name, points in matrices.items()}
    heads = _heads([16, 256, 1024] if quick else [16, 256, 1024, 4096])
    warm_and_cold = {"footprint_mb": [footprints[0], footprints[-2]]}
    return [
        Table("decode.matmul_block", "matmul", {"footprint_mb": footprints, **sizes}, {"type": block_type}),
        Table("decode.attention", "attention", {**warm_and_cold, **heads}),
    ]


def _prefill_matrices(
    quick: bool, matrices: dict[str, list[int]], footprint: int, block_type: str
) -> list[Table]:
    tokens = [16, CHUNK_TOKENS] if quick else [16, 64, CHUNK_TOKENS]
    sizes = {name: points[::2] for name, points in matrices.items()}
    return [
        Table(
            "prefill.matmul_block",
            "matmul",
            {"tokens": tokens, **sizes},
            {"type": block_type, "footprint": footprint},
        ),
        Table(
            "prefill.attention",
            "attention",
            _heads([CHUNK_TOKENS, 2 * CHUNK_TOKENS]),
            {"tokens": CHUNK_TOKENS, "footprint": footprint},
        ),
    ]


def _head(quick: bool, footprints: list[int], head_type: str) -> Table:
    cols = [64, 512, 2048] if quick else _doublings(64, 2048)
    axes = {"footprint_mb": footprints, "rows": [1024, 8192, 49152], "cols": cols}
    return Table("head", "matmul", axes, {"type": head_type})


def _vectors(quick: bool, phase: str, tokens: int) -> list[Table]:
    """What is done to a token's numbers between the matrices."""
    narrow = [64, 512, 4096] if quick else [64, 256, 1024, 4096]
    said = {"tokens": tokens}
    return [
        Table(f"{phase}.norm", "norm", {"hidden": narrow}, said),
        Table(f"{phase}.activation", "activation", {"intermediate": [*narrow, 8192]}, said),
        Table(f"{phase}.overhead", "pass", {"hidden": [64, 1024]}, {"vocab": 8192, **said}),
    ]


def _neurons(quick: bool, footprints: list[int], block_type: str) -> list[Table]:
    """In decode by the live share; a prompt's neurons are all computed."""
    sizes = {"hidden": _doublings(256, 4096), "intermediate": _doublings(512, 8192)}
    coarse = {name: points[::2] for name, points in sizes.items()}
    live = {"footprint_mb": [footprints[0], footprints[-2]], "live_percent": [10, 50, 100]}
    tables = []
    for kind, gated in (("gated", 1), ("plain", 0)):
        said = {"type": block_type, "gated": gated}
        alone, together = {**said, "tokens": 1}, {**said, "tokens": CHUNK_TOKENS, "live_percent": 50}
        axes = {**live, **(coarse if quick else sizes)}
        tables.append(Table(f"decode.neurons_{kind}", "neurons", axes, alone))
        tables.append(Table(f"prefill.neurons_{kind}", "neurons", coarse, together))
    return tables


def _footprints(last_cache_bytes: int, quick: bool) -> list[int]:
    """MiB of weights around the size of the last cache, and so many that no cache holds a part of them."""
    last = min(max(last_cache_bytes >> 20, 4), _LARGEST_CACHE_MB)
    return [2, last, 3 * last, 8 * last] if quick else [2, last, 2 * last, 3 * last, 8 * last]


def _doublings(first: int, last: int) -> list[int]:
    return [first * 2**i for i in range((last // first).bit_length())]


def _heads(contexts: list[int]) -> dict[str, list[int]]:
    return {"head_dim": [32, 64, 128], "group": [1, 4], "kv_heads": [2, 8], "context": contexts}
