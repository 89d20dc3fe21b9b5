"""What the matrices of a model read while it reads a text: the inputs of its products, summed up."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from phonelm import _native

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Windows = Sequence[Sequence[int]]
INPUTS = ("attention", "attention_output", "ffn", "ffn_down")
HEAD = "head"
_READERS = {
    "attn_q": "attention", "attn_k": "attention", "attn_v": "attention", "attn_qkv": "attention",
    "attn_output": "attention_output", "ffn_gate": "ffn", "ffn_up": "ffn", "ffn_down": "ffn_down",
}  # fmt: skip
_SUMMED_TOKENS = 1024
"""Tokens whose products are summed at once: fewer make the sums slow."""


@dataclass(frozen=True)
class Input:
    """An input of products: of a layer one of `INPUTS`, or behind the last layer what the head reads."""

    layer: int
    name: str


def input_of(tensor: str, num_layers: int, is_tied: bool) -> Input | None:
    """What a matrix of a GGUF file is multiplied with; None for one that is only looked up."""
    parts = tensor.split(".")
    if parts[0] == "blk" and len(parts) == 4 and parts[2] in _READERS and parts[3] == "weight":
        return Input(int(parts[1]), _READERS[parts[2]])
    is_head = tensor == ("token_embd.weight" if is_tied else "output.weight")
    return Input(num_layers, HEAD) if is_head else None


def mean_squares(
    model: _native.Model, windows: Windows, layers: range, num_layers: int, advance: Callable[[float], None]
) -> dict[Input, Doubles]:
    """Of each column of the inputs of some layers and of the head, over all tokens: float64 [columns].

    `advance` is called with the tokens just read.
    """
    sums: dict[Input, Doubles] = {}
    num_tokens = 0
    for inputs in _observed(model, windows, layers, True, num_layers):
        for place, rows in inputs.items():
            squares = np.einsum("ij,ij->j", rows, rows, dtype=np.float64)
            sums[place] = sums.get(place, 0.0) + squares
        count = len(rows)
        num_tokens += count
        advance(count)
    return {place: total / num_tokens for place, total in sums.items()}


def gram_matrices(
    model: _native.Model, windows: Windows, layers: range, num_layers: int, advance: Callable[[float], None]
) -> dict[Input, Floats]:
    """X^T X of the inputs of some layers, over all tokens: float32 [columns, columns]."""
    sums: dict[Input, Floats] = {}
    waiting: dict[Input, list[Floats]] = {}
    num_waiting = 0
    for inputs in _observed(model, windows, layers, False, num_layers):
        for place, rows in inputs.items():
            waiting.setdefault(place, []).append(rows)
        num_waiting += len(rows)
        advance(len(rows))
        if num_waiting >= _SUMMED_TOKENS:
            _add_products(sums, waiting)
            num_waiting = 0
    _add_products(sums, waiting)
    return sums


def _add_products(sums: dict[Input, Floats], waiting: dict[Input, list[Floats]]) -> None:
    for place, parts in waiting.items():
        rows = np.concatenate(parts)
        products = rows.T @ rows
        if place in sums:
            sums[place] += products
        else:
            sums[place] = products
    waiting.clear()


def _observed(
    model: _native.Model, windows: Windows, layers: range, with_head: bool, num_layers: int
) -> Iterator[dict[Input, Floats]]:
    """The inputs, chunk of tokens by chunk of tokens, each float32 [tokens, columns]."""
    from phonelm import _native

    longest = max(len(window) for window in windows)
    observer = _native.Observer(model, layers.start, len(layers), with_head, longest)
    for window in windows:
        for start in range(0, len(window), _native.CHUNK_TOKENS):
            observer.run(list(window[start : start + _native.CHUNK_TOKENS]), start)
            inputs = {Input(layer, name): observer.rows(layer, name) for layer in layers for name in INPUTS}
            yield inputs | ({Input(num_layers, HEAD): observer.head_rows()} if with_head else {})
