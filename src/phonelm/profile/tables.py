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
_LIVE: dict[str, dict[str, int]] = {"decode": {}, "prefill": {"live_percent": 50}}

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
    wide, rows = _doublings(64, 8192), _doublings(2 * PANEL_ROWS * num_threads, 16384)
    cold = {"footprint": footprints[-1] << 20}
    tables = [
        Table(
            "decode.matmul_block",
            "matmul",
            {
                "footprint_mb": footprints,
                "rows": rows[:: 2 if quick else 1],
                "cols": wide[:: 2 if quick else 1],
            },
            {"type": block_type},
        ),
        Table(
            "decode.attention",
            "attention",
            {"footprint_mb": [footprints[0], footprints[-2]], **_heads(quick, [16, 256, 1024], [4096])},
        ),
        Table(
            "prefill.matmul_block",
            "matmul",
            {
                "tokens": [16, CHUNK_TOKENS] if quick else [16, 64, CHUNK_TOKENS],
                "rows": rows[::2],
                "cols": wide[::2],
            },
            {"type": block_type, **cold},
        ),
        Table(
            "prefill.attention",
            "attention",
            _heads(True, [CHUNK_TOKENS, 2 * CHUNK_TOKENS], [] if quick else [4 * CHUNK_TOKENS]),
            {"tokens": CHUNK_TOKENS, **cold},
        ),
        Table(
            "head",
            "matmul",
            {
                "footprint_mb": footprints,
                "rows": [1024, 8192, 49152],
                "cols": [64, 512, 2048] if quick else _doublings(64, 2048),
            },
            {"type": head_type},
        ),
        Table("sampling", "sampling", {"vocab": [1024, 8192, 49152]}),
        Table("barrier", "barrier", {}),
    ]
    narrow = [64, 512, 4096] if quick else [64, 256, 1024, 4096]
    for phase, tokens in (("decode", 1), ("prefill", CHUNK_TOKENS)):
        said = {"tokens": tokens}
        if block_type in NEURON_TYPES:
            tables += [
                Table(
                    f"{phase}.neurons_{kind}",
                    "neurons",
                    _neurons(quick, [footprints[0], footprints[-2]] if tokens == 1 else []),
                    {"type": block_type, "gated": int(kind == "gated"), **said, **_LIVE[phase]},
                )
                for kind in ("gated", "plain")
            ]
        tables += [
            Table(f"{phase}.norm", "norm", {"hidden": narrow}, said),
            Table(f"{phase}.activation", "activation", {"intermediate": [*narrow, 8192]}, said),
            Table(f"{phase}.overhead", "pass", {"hidden": [64, 1024]}, {"vocab": 8192, **said}),
        ]
    return tables


def _neurons(quick: bool, footprints: list[int]) -> dict[str, list[int]]:
    """In decode by the live share; a prompt's neurons are all computed."""
    doublings = slice(None, None, 2 if quick or not footprints else 1)
    sizes = {"hidden": _doublings(256, 4096)[doublings], "intermediate": _doublings(512, 8192)[doublings]}
    return {"footprint_mb": footprints, "live_percent": [10, 50, 100], **sizes} if footprints else sizes


def _footprints(last_cache_bytes: int, quick: bool) -> list[int]:
    """MiB of weights around the size of the last cache, and so many that no cache holds a part of them."""
    last = min(max(last_cache_bytes >> 20, 4), _LARGEST_CACHE_MB)
    return [2, last, 3 * last, 8 * last] if quick else [2, last, 2 * last, 3 * last, 8 * last]


def _doublings(first: int, last: int) -> list[int]:
    return [first * 2**i for i in range((last // first).bit_length())]


def _heads(quick: bool, contexts: list[int], further: list[int]) -> dict[str, list[int]]:
    return {
        "head_dim": [32, 64, 128],
        "group": [1, 4],
        "kv_heads": [2, 8],
        "context": contexts if quick else [*contexts, *further],
    }
