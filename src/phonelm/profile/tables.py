"""Which operators are measured at which sizes: the cost table, as data."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from phonelm._native import CHUNK_TOKENS, PANEL_ROWS

NEURON_TYPES = ("q4_0", "q8_0")
"""Block types in which the FFN of a ReLU model is stored neuron by neuron."""
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
    """A table of every operator of the native graph (`graph/operators.h`), by phase.

    Rows are multiples that all threads share evenly. What is read from memory costs less where the weights of
    the whole model, its footprint, stay in a cache.
    """
    footprints = _footprints(last_cache_bytes, quick)
    kind = _Kind(quick, num_threads, block_type)
    return [
        *_decode(kind, footprints),
        *_prefill(kind, footprints[-1] << 20),
        *(_neurons(kind, footprints) if block_type in NEURON_TYPES else []),
        _head(quick, footprints, head_type),
        Table("sampling", "sampling", {"vocab": [1024, 8192, 49152]}),
        Table("barrier", "barrier", {}),
    ]


@dataclass(frozen=True)
class _Kind:
    """What the tables of matrices have in common."""

    quick: bool
    num_threads: int
    block_type: str

    @property
    def rows(self) -> list[int]:
        """Of queries, keys and values together, which are a half and two quarters of them."""
        first = 4 * PANEL_ROWS * self.num_threads
        return [first * 4**i for i in range(3 if self.quick else 4)]


def _decode(kind: _Kind, footprints: list[int]) -> list[Table]:
    hidden = [64, 512, 4096] if kind.quick else _doublings(64, 4096)
    wide = [128, 1024, 8192] if kind.quick else [128, 512, 2048, 8192]
    few = [footprints[0], footprints[-2]]
    said: dict[str, object] = {"type": kind.block_type}
    memory = {"footprint_mb": footprints}
    heads = _heads([16, 256, 1024] if kind.quick else [16, 256, 1024, 4096])
    plain = {"footprint_mb": few, "hidden": hidden[::2], "intermediate": wide}
    return [
        Table("decode.project", "project", {**memory, "rows": kind.rows, "hidden": hidden}, said),
        Table("decode.attention", "attention", {"footprint_mb": few, **heads}),
        Table(
            "decode.add_attention", "add_attention", {**memory, "hidden": hidden, "width": hidden[::2]}, said
        ),
        Table(
            "decode.ffn_gated",
            "ffn",
            {**memory, "hidden": hidden, "intermediate": wide},
            {**said, "gated": 1},
        ),
        Table("decode.ffn_plain", "ffn", plain, {**said, "gated": 0}),
        _embed("decode", 1),
    ]


def _prefill(kind: _Kind, footprint: int) -> list[Table]:
    """The widest are smaller than in decode: their products take longer, and grow evenly with their sizes."""
    tokens = [16, CHUNK_TOKENS] if kind.quick else [16, 64, CHUNK_TOKENS]
    hidden = [64, 512, 2048] if kind.quick else [64, 256, 1024, 2048]
    wide = [128, 1024, 4096] if kind.quick else [128, 512, 2048, 4096]
    said: dict[str, object] = {"type": kind.block_type, "footprint": footprint}
    ffn = {"tokens": tokens, "hidden": hidden, "intermediate": wide}
    attention = {"tokens": CHUNK_TOKENS, "footprint": footprint}
    return [
        Table("prefill.project", "project", {"tokens": tokens, "rows": kind.rows, "hidden": hidden}, said),
        Table("prefill.attention", "attention", _heads([CHUNK_TOKENS, 2 * CHUNK_TOKENS]), attention),
        Table(
            "prefill.add_attention",
            "add_attention",
            {"tokens": tokens, "hidden": hidden, "width": hidden},
            said,
        ),
        Table("prefill.ffn_gated", "ffn", ffn, {**said, "gated": 1}),
        Table("prefill.ffn_plain", "ffn", {**ffn, "hidden": hidden[::2]}, {**said, "gated": 0}),
        _embed("prefill", CHUNK_TOKENS),
    ]


def _embed(phase: str, tokens: int) -> Table:
    return Table(f"{phase}.embed", "embed", {"hidden": [64, 1024]}, {"vocab": 8192, "tokens": tokens})


def _head(quick: bool, footprints: list[int], head_type: str) -> Table:
    hidden = [64, 512, 2048] if quick else _doublings(64, 2048)
    axes = {"footprint_mb": footprints, "vocab": [1024, 8192, 49152], "hidden": hidden}
    return Table("head", "head", axes, {"type": head_type})


def _neurons(kind: _Kind, footprints: list[int]) -> list[Table]:
    """In decode by the active share; a prompt's neurons are all computed."""
    sizes = {"hidden": _doublings(256, 4096), "intermediate": _doublings(512, 8192)}
    coarse = {name: points[::2] for name, points in sizes.items()}
    live = {"footprint_mb": footprints[:-1], "live_percent": [10, 50, 100]}
    tables = []
    for name, gated in (("gated", 1), ("plain", 0)):
        said = {"type": kind.block_type, "gated": gated}
        alone, together = {**said, "tokens": 1}, {**said, "tokens": CHUNK_TOKENS, "live_percent": 50}
        axes = {**live, **(coarse if kind.quick else sizes)}
        tables.append(Table(f"decode.neurons_{name}", "neurons", axes, alone))
        tables.append(Table(f"prefill.neurons_{name}", "neurons", coarse, together))
    return tables


def _footprints(last_cache_bytes: int, quick: bool) -> list[int]:
    """MiB of weights around the size of the last cache, and so many that no cache holds a part of them."""
    last = min(max(last_cache_bytes >> 20, 4), _LARGEST_CACHE_MB)
    return [2, last, 3 * last, 8 * last] if quick else [2, last, 2 * last, 3 * last, 8 * last]


def _doublings(first: int, last: int) -> list[int]:
    return [first * 2**i for i in range((last // first).bit_length())]


def _heads(contexts: list[int]) -> dict[str, list[int]]:
    return {"head_dim": [32, 64, 128], "group": [1, 4], "kv_heads": [2, 8], "context": contexts}
