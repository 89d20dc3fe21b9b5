"""Rounds a model's matrices by what they read: each weighted alone, or compensated in groups of layers."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from phonelm.arch.arithmetic import BLOCKS
from phonelm.engine.calibration.observation import (
    HEAD,
    Doubles,
    Floats,
    Input,
    Windows,
    gram_matrices,
    input_of,
    mean_squares,
)
from phonelm.files import atomic_path
from phonelm.formats import quantize
from phonelm.formats.compensation import Compensation, quantize_compensated
from phonelm.formats.weighted import can_weigh, column_weights, quantize_weighted
from phonelm.progress import Progress
from phonelm.words import counted

if TYPE_CHECKING:
    from phonelm import _native

Bytes = NDArray[np.uint8]
_GROUP_BYTES = 1 << 30
"""Of the sums of the layers that are observed together."""
_TOKENS_PER_COLUMN = 4
"""With fewer, the inputs' correlations are mostly chance."""


@dataclass
class Source:
    """A model whose inputs are observed, with the text that it reads; what is summed up is kept."""

    path: Path
    windows: Windows
    num_layers: int
    is_tied: bool
    progress: Progress
    _grams: dict[Input, Floats] = field(default_factory=dict)

    @cached_property
    def native(self) -> _native.Model:
        """The model, loaded when it is first asked for."""
        from phonelm import _native

        return _native.Model.load(str(self.path), sparse_ffn=False, context_length=len(self.windows[0]))

    @property
    def num_tokens(self) -> int:
        """Tokens of all windows."""
        return sum(len(window) for window in self.windows)

    def input_of(self, tensor: str) -> Input | None:
        """What a matrix is multiplied with."""
        return input_of(tensor, self.num_layers, self.is_tied)

    def weights(self, place: Input) -> Floats:
        """Of the columns of an input, by its mean squares."""
        return column_weights(self._mean_squares[place])

    def gram(self, place: Input) -> Floats:
        """X^T X of an input; the layers beside it are observed together with it."""
        if place not in self._grams:
            self._grams.clear()
            count = self._layers_at_once(place.layer)
            first = place.layer // count * count
            layers = range(first, min(first + count, self.num_layers))
            label = f"read the calibration text for layers {layers.start} to {layers.stop - 1}"
            with self.progress.bar(label, self.num_tokens) as advance:
                self._grams |= gram_matrices(self.native, self.windows, layers, self.num_layers, advance)
            self._tell_of_few_tokens(max(len(gram) for gram in self._grams.values()))
        return self._grams[place]

    @cached_property
    def _mean_squares(self) -> dict[Input, Doubles]:
        layers = range(self.num_layers)
        with self.progress.bar("read the calibration text", self.num_tokens) as advance:
            return mean_squares(self.native, self.windows, layers, self.num_layers, advance)

    def _tell_of_few_tokens(self, num_columns: int) -> None:
        if self.num_tokens < _TOKENS_PER_COLUMN * num_columns:
            self.progress.line(
                f"{counted(self.num_tokens, 'token')} say little about inputs of {num_columns:,} columns; a "
                "longer calibration text gives a better file"
            )

    def _layers_at_once(self, layer: int) -> int:
        """As many as memory is meant for, if all are as wide as this one."""
        columns: dict[Input, int] = {}
        for name, shape in self.native.tensor_shapes.items():
            place = self.input_of(name)
            if place and place.layer == layer and place.name != HEAD:
                columns[place] = shape[0]
        return max(1, _GROUP_BYTES // (4 * sum(count**2 for count in columns.values())))


@dataclass
class Weighted:
    """Rounds by the mean squares of inputs; types without scales to search are rounded plainly."""

    source: Source
    ways: Counter[str] = field(default_factory=Counter)
    """How many matrices were rounded in each way."""
    plain_types: set[str] = field(default_factory=set)
    """Types that were rounded plainly."""

    def __call__(self, name: str, values: Floats, type: str) -> Bytes:
        """The bytes of a matrix, by its tensor's name."""
        place = self.source.input_of(name)
        if place is None or not can_weigh(type):
            self.ways["plain"] += 1
            self.plain_types.add(type)
            return quantize(values, type)
        self.ways["weighted"] += 1
        return quantize_weighted(values, type, self.source.weights(place))


@dataclass
class Compensated(Weighted):
    """Rounds so that later columns make good what earlier ones lost; the head and others as `Weighted`.

    Finished matrices lie in `folder`, from where the next run takes them.
    """

    folder: Path = field(kw_only=True)
    _last: tuple[Input, int, Compensation] | None = None

    def __call__(self, name: str, values: Floats, type: str) -> Bytes:
        """The bytes of a matrix, by its tensor's name."""
        place = self.source.input_of(name)
        if place is None or place.name == HEAD or not can_weigh(type):
            return super().__call__(name, values, type)
        self.ways["compensated"] += 1
        kept = self.folder / f"{name}.npy"
        if kept.is_file():
            done: Bytes = np.load(kept)
            return done
        data = quantize_compensated(values, type, self._compensation(place, BLOCKS[type][0]))
        with atomic_path(kept) as temporary, temporary.open("wb") as file:
            np.save(file, data)
        return data

    def _compensation(self, place: Input, block: int) -> Compensation:
        """Of an input; neighbours in the file read the same one."""
        if self._last is None or self._last[:2] != (place, block):
            self._last = place, block, Compensation.of(self.source.gram(place), block)
        return self._last[2]
