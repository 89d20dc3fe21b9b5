"""What the matrices of a model read while it reads a text: the inputs of its products, summed up."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from phonelm.data.files import is_supported, read_documents
from phonelm.words import counted

if TYPE_CHECKING:
    from phonelm import _native
    from phonelm.engine.tokenizer import Tokenizer

Floats = NDArray[np.float32]
WINDOW = 512
"""Tokens of context that a text is read in."""
LEAST_TOKENS = 512
_READERS = {
    "attn_q": "attention", "attn_k": "attention", "attn_v": "attention", "attn_qkv": "attention",
    "attn_output": "attention_output", "ffn_gate": "ffn", "ffn_up": "ffn", "ffn_down": "ffn_down",
}  # fmt: skip
INPUTS = ("attention", "attention_output", "ffn", "ffn_down")
HEAD = "head"


@dataclass(frozen=True, order=True)
class Input:
    """An input of products: of a layer one of `INPUTS`, or the normalized residual that the head reads."""

    layer: int
    name: str


def input_of(tensor: str, num_layers: int, is_tied: bool) -> Input | None:
    """What a matrix of a GGUF file is multiplied with; None for one that is only looked up."""
    parts = tensor.split(".")
    if parts[0] == "blk" and len(parts) == 4 and parts[2] in _READERS and parts[3] == "weight":
        return Input(int(parts[1]), _READERS[parts[2]])
    heads = ("output.weight", "token_embd.weight") if is_tied else ("output.weight",)
    return Input(num_layers, HEAD) if tensor in heads else None


def read_windows(path: Path, tokenizer: Tokenizer, most_tokens: int, window: int) -> list[list[int]]:
    """The tokens of a text in windows of equal length, the last one shorter.

    Documents of JSON lines and the like follow one another. Raises `ValueError` for a file that is not UTF-8
    text, and for one of fewer than `LEAST_TOKENS` tokens.
    """
    ids: list[int] = []
    for text in _documents(path):
        ids += tokenizer.encode(text if len(ids) == 0 else f"\n\n{text}")
        if len(ids) >= most_tokens:
            break
    if len(ids) < LEAST_TOKENS:
        raise ValueError(
            f"{path} has {counted(len(ids), 'token')}, which say too little about a model's inputs; give a "
            f"text of {LEAST_TOKENS} or more, better of many thousands"
        )
    ids = ids[:most_tokens]
    return [ids[start : start + window] for start in range(0, len(ids), window)]


def _documents(path: Path) -> Iterator[str]:
    if is_supported(path):
        yield from read_documents(path)
        return
    try:
        yield path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8 text ({error.reason}); give a text or JSON lines") from error


def observe(
    model: _native.Model, windows: Sequence[Sequence[int]], layers: range, with_head: bool
) -> Iterator[dict[Input, Floats]]:
    """The inputs of some layers, chunk of tokens by chunk of tokens, each float32 [tokens, columns].

    A window begins a sequence. Raises `ValueError` for windows longer than the model's context.
    """
    from phonelm import _native

    observer = _native.Observer(
        model, layers.start, len(layers), with_head, max(len(window) for window in windows)
    )
    head = Input(model_layers(model), HEAD)
    for window in windows:
        for start in range(0, len(window), _native.CHUNK_TOKENS):
            observer.run(list(window[start : start + _native.CHUNK_TOKENS]), start)
            inputs = {
                Input(layer, name): observer.rows(layer, name) for layer in layers for name in INPUTS
            }
            yield inputs | ({head: observer.head_rows()} if with_head else {})


