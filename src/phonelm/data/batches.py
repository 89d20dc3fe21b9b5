"""Windows of tokens in an order that depends on the seed and the position alone, so that a run can resume."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from phonelm.data.packing import pack


@dataclass(frozen=True)
class Rows:
    """What is learnt in a step: arrays [rows, length]."""

    tokens: NDArray[np.int64]
    targets: NDArray[np.int64]
    """The tokens to predict at each place."""
    weights: NDArray[np.float32] | None = None
    """Of each target in the loss; None: all count alike."""
    positions: NDArray[np.int64] | None = None
    """Of each token in its document, which sees no other; None: a row is one document."""


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

    def batch(self, indices: NDArray[np.integer]) -> Rows:
        """The windows with these indices as tokens and targets."""
        rows = self.rows(indices)
        return Rows(rows[:, :-1], rows[:, 1:])


class PackedRows:
    """Whole documents packed into rows of `length` places; each sees itself alone.

    `tokens` and `weights` are those of all documents one after the other, `starts` where each begins and,
    last, where they end. A document of n tokens takes n - 1 places: its last token is a target only. Longer
    ones lose their end, and are left out where nothing remains to be learnt. Raises `ValueError` when none is
    left.
    """

    def __init__(
        self,
        tokens: NDArray[np.unsignedinteger],
        weights: NDArray[np.floating],
        starts: NDArray[np.int64],
        length: int,
        seed: int,
        name: str = "data",
    ) -> None:
        if len(starts) < 2:
            raise ValueError(f"{name} has no conversations; give more, or a larger valid_fraction")
        self._tokens, self._weights, self._starts, self._length = tokens, weights, starts, length
        lengths = np.diff(starts) - 1
        self.num_cut = int((lengths > length).sum())
        """Documents that lose their end."""
        ends = np.minimum(starts[1:], starts[:-1] + 1 + length)
        has_weight = [weights[first + 1 : end].any() for first, end in zip(starts, ends, strict=False)]
        learnable = np.flatnonzero(has_weight)
        if not len(learnable):
            raise ValueError(
                f"in {name} no answer begins within {length} tokens; take a larger sequence_length"
            )
        packed = pack(lengths[learnable], length, seed)
        self._rows = [learnable[row].tolist() for row in packed]

    def __len__(self) -> int:
        return len(self._rows)

    def batch(self, indices: NDArray[np.integer]) -> Rows:
        """The rows with these indices; places behind the last document are one more, which counts nothing."""
        shape = (len(indices), self._length)
        out = Rows(
            np.zeros(shape, np.int64),
            np.zeros(shape, np.int64),
            np.zeros(shape, np.float32),
            np.zeros(shape, np.int64),
        )
        for number, index in enumerate(indices.tolist()):
            self._fill(out, number, self._rows[index])
        return out

    def _fill(self, out: Rows, row: int, documents: list[int]) -> None:
        assert out.weights is not None
        assert out.positions is not None
        at = 0
        for document in documents:
            first, end = self._starts[document], self._starts[document + 1]
            count = int(min(end - first - 1, self._length - at))
            here, read = slice(at, at + count), slice(first + 1, first + 1 + count)
            out.tokens[row, here] = self._tokens[first : first + count]
            out.targets[row, here] = self._tokens[read]
            out.weights[row, here] = self._weights[read]
            out.positions[row, here] = np.arange(count)
            at += count
        out.positions[row, at:] = np.arange(self._length - at)


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
