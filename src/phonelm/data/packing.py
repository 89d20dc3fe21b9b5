"""Several documents in a row of fixed length, none of them cut apart."""

from __future__ import annotations

from bisect import bisect_left, insort

import numpy as np
from numpy.typing import NDArray

_DOCUMENTS_AT_ONCE = 4096
"""Packed together: memory and time stay bounded, and rows mix documents from everywhere."""


def pack(lengths: NDArray[np.integer], row_length: int, seed: int) -> list[list[int]]:
    """Indices of documents by row, so that the lengths of a row add up to at most `row_length`.

    Longer documents count as `row_length`. Documents are shuffled by `seed`; among some thousands at a time
    the longest goes first, each into the fullest row that has room (best-fit decreasing).
    """
    order = np.random.default_rng(seed).permutation(len(lengths))
    rows: list[list[int]] = []
    for start in range(0, len(order), _DOCUMENTS_AT_ONCE):
        some = order[start : start + _DOCUMENTS_AT_ONCE]
        rows += _best_fit(some[np.argsort(-lengths[some], kind="stable")], lengths, row_length)
    return rows


def _best_fit(
    documents: NDArray[np.integer], lengths: NDArray[np.integer], row_length: int
) -> list[list[int]]:
    rows: list[list[int]] = []
    rooms: list[tuple[int, int]] = []
    for document in documents.tolist():
        length = min(int(lengths[document]), row_length)
        place = bisect_left(rooms, (length, -1))
        room, row = rooms.pop(place) if place < len(rooms) else (row_length, len(rows))
        if row == len(rows):
            rows.append([])
        rows[row].append(document)
        insort(rooms, (room - length, row))
    return rows
