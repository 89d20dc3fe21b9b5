"""Rounding column by column, in which the columns to come make good what those before have lost.

GPTQ (Frantar et al., arXiv 2210.17323): with H = X^T X of a product's inputs and U the upper factor of
H^-1 = U^T U, the error of column j divided by U_jj, times U_j,k, is taken off every later column k.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from phonelm.arch.arithmetic import BLOCKS
from phonelm.formats.blocks import GRIDS, Bytes, Floats, GridType
from phonelm.formats.blocks.floats import reciprocal
from phonelm.formats.quantization import tensor_type

Doubles = NDArray[np.float64]
DAMPING = 0.01
"""Of the mean of H's diagonal, added to it: few inputs must not decide everything."""
_SMALL = 64


@dataclass(frozen=True)
class Compensation:
    """What the inputs of a product say about its columns, for all matrices that read them.

    Columns come in `order`; `factor` is U of the columns in that order, float32.
    """

    order: NDArray[np.intp]
    factor: Floats

    @classmethod
    def of(cls, gram: NDArray[np.floating], block: int, damping: float = DAMPING) -> Compensation:
        """From X^T X [columns, columns], for a type of blocks of so many columns.

        Blocks of large inputs come first, and within a block columns of large inputs: what is lost there
        can be made good by the most columns.
        """
        hessian = np.array(gram, np.float64)
        if not np.isfinite(hessian).all():
            raise ValueError("products of inputs are not finite; the model or its file is broken")
        diagonal = np.diag(hessian).copy()
        mean = diagonal.mean() or 1.0
        order = _block_order(diagonal, block)
        hessian = hessian[np.ix_(order, order)]
        hessian[np.diag_indices_from(hessian)] += damping * mean
        return cls(order, upper_factor(hessian).astype(np.float32))


def upper_factor(hessian: Doubles) -> Doubles:
    """The upper U of H^-1 = U^T U: the inverse of H's Cholesky factor from the last column on."""
    return _inverse_root(hessian[::-1, ::-1])[::-1, ::-1]


def _inverse_root(matrix: Doubles) -> Doubles:
    """The inverse of the lower L in A = L L^T, half by half.

    By products alone: LAPACK's factorization keeps several threads waiting for one another.
    """
    count = len(matrix)
    inverse = np.zeros_like(matrix)
    if count <= _SMALL:
        inverse[:] = np.tril(np.linalg.inv(np.linalg.cholesky(matrix)))
        return inverse
    half = count // 2
    first = _inverse_root(matrix[:half, :half])
    below = matrix[half:, :half] @ first.T
    second = _inverse_root(matrix[half:, half:] - below @ below.T)
    inverse[:half, :half], inverse[half:, half:] = first, second
    inverse[half:, :half] = -(second @ below) @ first
    return inverse


def _block_order(diagonal: Doubles, block: int) -> NDArray[np.intp]:
    of_blocks = diagonal.reshape(-1, block)
    blocks = np.argsort(-of_blocks.sum(axis=1), kind="stable")
    within = np.argsort(-of_blocks, axis=1, kind="stable")
    order: NDArray[np.intp] = (blocks[:, None] * block + within[blocks]).ravel()
    return order


def quantize_compensated(array: Floats, type: str, compensation: Compensation) -> Bytes:
    """Encode float32 [rows, columns], each column's error made good by those that come later.

    The scales of a block are found when it is reached, from its columns as they are then. Raises `ValueError`
    for a type without scales to search, and for columns that are not the inputs' or do not fill blocks.
    """
    name = tensor_type(type).lower()
    if name not in GRIDS:
        raise ValueError(f"{type} has no scales to search; quantize it without importance")
    columns, size = BLOCKS[name]
    if array.ndim != 2 or array.shape[1] != len(compensation.order) or array.shape[1] % columns:
        raise ValueError(
            f"a matrix of {array.shape[-1]} columns cannot be {name.upper()} (blocks of {columns}) for "
            f"inputs of {len(compensation.order)} columns"
        )
    # A column's rows lie side by side.
    rest = np.array(array.T[compensation.order], np.float32)
    out = np.empty((len(array), array.shape[1] // columns, size), np.uint8)
    for begin in range(0, len(rest), columns):
        end = begin + columns
        order = compensation.order[begin:end]
        factor = compensation.factor[begin:end]
        block = out[:, order[0] // columns]
        losses = _round_block(GRIDS[name], rest[begin:end], factor[:, begin:end], np.argsort(order), block)
        rest[end:] -= factor[:, end:].T @ losses
    return out.reshape(len(array), -1)


def _round_block(
    type: GridType, columns: Floats, factor: Floats, places: NDArray[np.intp], out: Bytes
) -> Floats:
    """Round the columns of a block, [columns, rows], in their order; `places` undoes it.

    Returns each column's error over U_jj.
    """
    scale = np.diag(factor)
    weights = np.broadcast_to((1 / np.square(scale))[places], columns.T.shape)
    grid = type.fit(np.ascontiguousarray(columns[places].T), np.ascontiguousarray(weights), in_double=True)
    groups = np.argsort(places) // type.size
    levels = np.empty_like(columns)
    losses = np.empty_like(columns)
    for j, group in enumerate(groups):
        step, offset = grid.step[:, group], grid.offset[:, group]
        levels[j] = type.nearest((columns[j] - offset) * reciprocal(step))
        losses[j] = (columns[j] - (step * levels[j] + offset)) / scale[j]
        columns[j + 1 :] -= np.outer(factor[j, j + 1 :], losses[j])
    type.encode(np.ascontiguousarray(levels[places].T), grid, out)
    return losses
