"""Which type each tensor of a file gets: one type for all matrices, or a mixture by llama.cpp's names.

A mixture gives more bits to the tensors whose errors cost most: the values of the attention and the FFN's way
down in the first and last eighth of the layers and in every third between, and the output matrix. Source:
`llama_tensor_get_type_impl` and `tensor_type_fallback` in llama-quant.cpp of llama.cpp.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from phonelm.arch.arithmetic import BLOCKS, FALLBACK_TYPE, tensor_bytes
from phonelm.arch.part import TensorShape
from phonelm.formats.quantization import tensor_type

_PLAIN = {"f32": 0, "f16": 1, "bf16": 32, "q8_0": 7, "q5_1": 9, "q5_0": 8, "q4_1": 3, "q4_0": 2}
_MIXED = {
    "q6_k": (18, "q6_k"),
    "q5_k_m": (17, "q5_k"),
    "q5_k_s": (16, "q5_k"),
    "q4_k_m": (15, "q4_k"),
    "q4_k_s": (14, "q4_k"),
    "iq4_nl": (25, "iq4_nl"),
    "q3_k_l": (13, "q3_k"),
    "q3_k_m": (12, "q3_k"),
    "q3_k_s": (11, "q3_k"),
    "q2_k": (10, "q2_k"),
}
"""Number of llama.cpp's `enum llama_ftype`, and the type of most matrices."""
_ALIASES = {"q5_k": "q5_k_m", "q4_k": "q4_k_m", "q3_k": "q3_k_m"}
_SMALLER_BLOCKS = {"q2_k": "q4_0", "q3_k": "q4_0", "q4_k": "q5_0", "q5_k": "q5_1", "q6_k": "q8_0"}
"""Of matrices whose columns are no multiple of 256."""

KINDS = (*_PLAIN, *_MIXED, *_ALIASES)
"""The kinds of files that can be written."""


@dataclass(frozen=True)
class PlannedTensor:
    """A tensor, the type its place asks for, and the one its columns allow."""

    tensor: TensorShape
    wanted: str
    stored: str

    @property
    def num_bytes(self) -> int:
        """Bytes of its data."""
        return tensor_bytes(self.tensor.shape, self.stored)


def file_kind(name: str) -> str:
    """The kind's own name, in lower case and without alias; `ValueError` when there is none."""
    lower = name.lower()
    if lower not in KINDS:
        raise ValueError(f"unknown weight type {name!r}; choose one of {', '.join(KINDS)}")
    return _ALIASES.get(lower, lower)


def file_type_number(kind: str) -> int:
    """The `general.file_type` of a kind."""
    return _PLAIN[kind] if kind in _PLAIN else _MIXED[kind][0]


def default_embedding_type(kind: str) -> str:
    """The type of embedding and head when none is asked for: lookups and the head need more than 4 bits.

    In a mixture the one that makes the logits has Q6_K; an embedding beside it has the type of most matrices.
    """
    if kind in _MIXED:
        return "q6_k"
    return kind if kind in ("f32", "f16", "bf16") else "q8_0"


def plan_types(
    tensors: Sequence[TensorShape], kind: str, embedding_type: str | None, heads_per_kv_head: int
) -> list[PlannedTensor]:
    """The type of each tensor: norms, biases and tables in F32, matrices by the kind.

    `embedding_type` is of embedding and head. Raises `ValueError` for a name that is no type.
    """
    kind = file_kind(kind)
    outer = tensor_type(embedding_type).lower() if embedding_type else None
    rule = _Rule(kind, tensors, heads_per_kv_head)
    wanted = [outer if outer and _is_outer(tensor) else rule.wanted(tensor) for tensor in tensors]
    return [
        PlannedTensor(tensor, type_, _fitting(tensor, type_))
        for tensor, type_ in zip(tensors, wanted, strict=True)
    ]


def describe_fallbacks(plan: Sequence[PlannedTensor]) -> list[str]:
    """A line for each pair of types of which the second had to be taken, with the reason."""
    pairs: dict[tuple[str, str], list[str]] = {}
    for planned in plan:
        if planned.stored != planned.wanted:
            pairs.setdefault((planned.wanted, planned.stored), []).append(planned.tensor.name)
    return [
        f"{names[0]}{f' and {len(names) - 1} more' if len(names) > 1 else ''}: {stored.upper()} instead of "
        f"{wanted.upper()}, because the columns are not a multiple of {BLOCKS[wanted][0]}"
        for (wanted, stored), names in pairs.items()
    ]


class _Rule:
    """The types of a kind, for the layers and heads of one model."""

    def __init__(self, kind: str, tensors: Sequence[TensorShape], heads_per_kv_head: int) -> None:
        self.kind = kind
        self.base = kind if kind in _PLAIN else _MIXED[kind][1]
        self.is_tied = all(tensor.role != "head" for tensor in tensors)
        self.num_layers = 1 + max((_layer(tensor.name) for tensor in tensors), default=0)
        self.has_grouped_heads = heads_per_kv_head >= 4

    def wanted(self, tensor: TensorShape) -> str:
        if tensor.role in ("vector", "position", "constant"):
            return "f32"
        if self.kind in _PLAIN:
            return default_embedding_type(self.kind) if _is_outer(tensor) else self.base
        if _is_outer(tensor):
            return "q6_k" if tensor.role == "head" or self.is_tied else self.base
        part = tensor.name.split(".")[-2]
        layer = _layer(tensor.name)
        if part in ("attn_v", "attn_qkv"):
            return self._values(layer)
        if part == "ffn_down":
            return self._down(layer)
        projections = {"q2_k": "q3_k", "q3_k_m": "q4_k", "q3_k_l": "q5_k"}
        return projections.get(self.kind, self.base) if part == "attn_output" else self.base

    def _values(self, layer: int) -> str:
        grouped = self.has_grouped_heads
        special = {
            "q2_k": "q4_k" if grouped else "q3_k",
            "q3_k_m": "q5_k" if layer < 2 else "q4_k",
            "q3_k_l": "q5_k",
            "q4_k_s": "q5_k" if layer < 4 else "q4_k",
            "iq4_nl": "q5_k" if grouped else "iq4_nl",
        }
        return special.get(self.kind) or self._more_bits(layer)

    def _down(self, layer: int) -> str:
        is_first = layer < self.num_layers // 8
        special = {
            "q2_k": "q3_k",
            "q3_k_m": "q5_k" if layer < self.num_layers // 16 else "q4_k",
            "q3_k_l": "q5_k",
            "q4_k_s": "q5_k" if is_first else "q4_k",
            "iq4_nl": "q5_k" if is_first else "iq4_nl",
        }
        return special.get(self.kind) or self._more_bits(layer)

    def _more_bits(self, layer: int) -> str:
        """Q6_K in the first and last eighth of the layers, and in every third between."""
        eighth, last = self.num_layers // 8, 7 * self.num_layers // 8
        gets_more = layer < eighth or layer >= last or (layer - eighth) % 3 == 2
        return "q6_k" if gets_more and self.kind in ("q4_k_m", "q5_k_m") else self.base


def _is_outer(tensor: TensorShape) -> bool:
    return tensor.role in ("embedding", "head")


def _layer(name: str) -> int:
    match = re.match(r"blk\.(\d+)\.", name)
    return int(match[1]) if match else 0


def _fitting(tensor: TensorShape, wanted: str) -> str:
    columns = tensor.shape[-1]
    for candidate in (wanted, _SMALLER_BLOCKS.get(wanted, wanted)):
        if columns % BLOCKS[candidate][0] == 0:
            return candidate
    return FALLBACK_TYPE
