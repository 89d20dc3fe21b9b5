"""What one forward pass learns from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from phonelm.data.batches import Rows


@dataclass(frozen=True)
class Batch:
    """Tokens and what to predict at each of them; tensors [rows, length] on one device."""

    tokens: Tensor
    targets: Tensor
    weights: Tensor | None = None
    """Of the targets in the loss, float32; None: all count alike."""
    positions: Tensor | None = None
    """Of the tokens in their documents, which see only themselves; None: a row is one document."""

    @classmethod
    def of(cls, rows: Rows, device: torch.device) -> Batch:
        """The rows as tensors on a device."""
        arrays = (rows.tokens, rows.targets, rows.weights, rows.positions)
        return cls(*(None if array is None else torch.from_numpy(array).to(device) for array in arrays))  # type: ignore[arg-type]

    def split(self, num_rows: int) -> Iterator[Batch]:
        """Parts of at most so many rows."""
        columns = (self.tokens, self.targets, self.weights, self.positions)
        for start in range(0, len(self.tokens), num_rows):
            yield Batch(*(None if one is None else one[start : start + num_rows] for one in columns))  # type: ignore[arg-type]

    def total_weight(self) -> float:
        """Sum of the weights: what the mean loss is a mean over."""
        return float(self.targets.numel()) if self.weights is None else float(self.weights.sum())

    def documents(self) -> list[list[int]] | None:
        """Lengths of the documents of each row, None where a row is one."""
        if self.positions is None:
            return None
        return [_lengths(row) for row in self.positions]


def _lengths(positions: Tensor) -> list[int]:
    starts = [*(positions == 0).nonzero()[:, 0].tolist(), len(positions)]
    return [end - start for start, end in pairwise(starts)]
