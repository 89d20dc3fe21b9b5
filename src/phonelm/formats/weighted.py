"""Rounding that spends a type's levels where a model's inputs are large.

The output of a product changes by sum_j e_j x_j where weights have errors e; over inputs whose columns are
not correlated its mean square is sum_j E[x_j^2] e_j^2. Scales are searched for that sum instead of for the
weights alone.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from phonelm.arch.arithmetic import BLOCKS
from phonelm.formats.blocks import BLOCK_DECODERS, BLOCK_ENCODERS, GRIDS, Bytes, Floats
from phonelm.formats.quantization import tensor_type

_CHUNK_COLUMNS = 4096 * 32
_LEAST_WEIGHT = 1e-6
"""Of the mean: columns that no input used still count a little."""


def can_weigh(type: str) -> bool:
    """Whether scales of a type can be searched for weighted columns."""
    return type.lower() in GRIDS


def column_weights(mean_squares: NDArray[np.floating]) -> Floats:
    """Weights of the columns of a product, float32 with a mean of 1, from its inputs' mean squares.

    Raises `ValueError` for numbers that are negative or not finite.
    """
    squares = np.asarray(mean_squares, np.float64)
    if not (np.isfinite(squares).all() and (squares >= 0).all()):
        raise ValueError("mean squares of inputs are negative or not finite; the model or its file is broken")
    mean = squares.mean()
    if mean == 0:
        return np.ones(len(squares), np.float32)
    weights: Floats = np.maximum(squares / mean, _LEAST_WEIGHT).astype(np.float32)
    return weights


def quantize_weighted(array: Floats, type: str, weights: Floats) -> Bytes:
    """Encode float32 [rows, columns] so that the error's square, weighted by columns [columns], is small.

    In no block is it larger than after `quantize`. Types without a scale to search are refused with
    `ValueError`, as are columns that do not fill blocks.
    """
    name = tensor_type(type).lower()
    if not can_weigh(name):
        raise ValueError(f"{type} has no scales to search; quantize it without importance")
    columns, size = BLOCKS[name]
    if array.ndim != 2 or array.shape[1] % columns or weights.shape != array.shape[1:]:
        raise ValueError(
            f"a matrix of shape {array.shape} and {len(weights)} weights cannot be {name.upper()}, which "
            f"needs a weight for each column and columns that are a multiple of {columns}"
        )
    blocks = np.ascontiguousarray(array, dtype=np.float32).reshape(-1, columns)
    of_blocks = np.ascontiguousarray(weights, dtype=np.float32).reshape(-1, columns)
    out = np.empty((len(blocks), size), np.uint8)
    chunk = _CHUNK_COLUMNS // columns

    def encode_chunk(start: int) -> None:
        part = blocks[start : start + chunk]
        places = np.arange(start, start + len(part)) % len(of_blocks)
        _encode(part, of_blocks[places], name, out[start : start + chunk])

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for _ in pool.map(encode_chunk, range(0, len(blocks), chunk)):
            pass
    return out.reshape(len(array), -1)


def _encode(blocks: Floats, weights: Floats, name: str, out: Bytes) -> None:
    type = GRIDS[name]
    grid = type.fit(blocks, weights, in_double=True)
    type.encode(type.round(blocks, grid), grid, out)
    plain = np.empty_like(out)
    BLOCK_ENCODERS[name](blocks, plain)
    is_better = _errors(plain, blocks, weights, name) < _errors(out, blocks, weights, name)
    out[is_better] = plain[is_better]


def _errors(data: Bytes, blocks: Floats, weights: Floats, name: str) -> Floats:
    difference = BLOCK_DECODERS[name](data) - blocks
    total: Floats = np.einsum("ij,ij,ij->i", weights, difference, difference)
    return total
