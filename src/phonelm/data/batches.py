"""Windows of tokens in an order that depends on the seed and the position alone, so that a run can resume."""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray


class Windows:
    """Fixed-length windows over token arrays: `length` inputs and one more token, the last target.

    Windows lie side by side, each within one array; the last target of one is the first input of the next.
    Raises `ValueError` when there is no whole window.
    """

    def __init__(self, arrays: list[NDArray[np.unsignedinteger]], length: int, name: str = "data") -> None:
        self._arrays = arrays
        self._length = length
        counts = [max(0, len(array) - 1) // length for array in arrays]
        self._ends = np.cumsum(counts) if counts else np.zeros(1, np.int64)
        if not len(self):
            tokens = sum(len(array) for array in arrays)
            raise ValueError(
                f"{name} has {tokens} tokens, fewer than one window of {length} + 1; give more text, a "
                "larger valid_fraction or a shorter sequence_length"
            )

    def __len__(self) -> int:
        return int(self._ends[-1])

    def rows(self, indices: NDArray[np.integer]) -> NDArray[np.int64]:
        """The windows with these indices, int64 [len(indices), length + 1]."""
        out = np.empty((len(indices), self._length + 1), np.int64)
        arrays = np.searchsorted(self._ends, indices, side="right")
        for row, (index, number) in enumerate(zip(indices, arrays, strict=True)):
            first = int(index - (self._ends[number - 1] if number else 0)) * self._length
            out[row] = self._arrays[number][first : first + self._length + 1]
        return out


@functools.lru_cache(maxsize=2)
def _order(num_windows: int, epoch: int, seed: int) -> NDArray[np.int64]:
    return np.random.default_rng([seed, epoch]).permutation(num_windows)


def batch_indices(num_windows: int, position: int, count: int, seed: int) -> NDArray[np.int64]:
    """Indices of the windows at places `position .. position + count` of the endless order.

    The order is a fresh permutation of all windows for each epoch: none comes twice before all came once.
    """
    places = np.arange(position, position + count)
    epochs, offsets = np.divmod(places, num_windows)
    indices = np.empty(count, np.int64)
    for epoch in np.unique(epochs):
        here = epochs == epoch
        indices[here] = _order(num_windows, int(epoch), seed)[offsets[here]]
    return indices
