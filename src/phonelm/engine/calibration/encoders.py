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

if TYPE_CHECKING:
    from phonelm import _native

Bytes = NDArray[np.uint8]
_GROUP_BYTES = 1 << 30
"""Of the sums of the layers that are observed together."""


@dataclass(frozen=True)
class Source:
    """A model whose inputs are observed, with the text that it reads."""

    path: Path
    windows: Windows
    num_layers: int
    is_tied: bool
    progress: Progress

    @cached_property
    def native(self) -> _native.Model:
        """The model, loaded when it is first asked for."""
        from phonelm import _native

        return _native.Model.load(str(self.path), sparse_ffn=False, context_length=len(self.windows[0]))

    @property
    def num_tokens(self) -> int:
        """Tokens of all windows."""
        return sum(len(window) for window in self.windows)


@dataclass
class Weighted:
    """Rounds by the mean squares of inputs; types without scales to search are rounded plainly."""

    source: Source
    layers: range
    """Those whose mean squares are wanted; the head's always are."""
    ways: Counter[str] = field(default_factory=Counter)
    plain_types: set[str] = field(default_factory=set)

    def __call__(self, name: str, values: Floats, type: str) -> Bytes:
        """The bytes of a matrix, by its tensor's name."""
        place = input_of(name, self.source.num_layers, self.source.is_tied)
        if place is None or not can_weigh(type):
            self.ways["plain"] += 1
            self.plain_types.add(type)
            return quantize(values, type)
        self.ways["weighted"] += 1
        return quantize_weighted(values, type, column_weights(self._mean_squares[place]))

    @cached_property
    def _mean_squares(self) -> dict[Input, Doubles]:
        source = self.source
        with source.progress.bar("read the calibration text", source.num_tokens) as advance:
            return mean_squares(source.native, source.windows, self.layers, source.num_layers, advance)


@dataclass
class Compensated:
    """Rounds so that later columns make good what earlier ones lost; the head and others as `Weighted`.

    Finished matrices lie in `folder`, from where the next run takes them.
    """

    source: Source
    folder: Path
    _rest: Weighted = field(init=False)
    _grams: dict[Input, Floats] = field(default_factory=dict)
    _factors: dict[tuple[Input, int], Compensation] = field(default_factory=dict)
    _num_compensated: int = 0

    def __post_init__(self) -> None:
        self._rest = Weighted(self.source, range(0))

    @property
    def ways(self) -> Counter[str]:
        """How many matrices were rounded in each way."""
        return self._rest.ways + Counter(compensated=self._num_compensated)

    @property
    def plain_types(self) -> set[str]:
        """Types that were rounded plainly."""
        return self._rest.plain_types

    def __call__(self, name: str, values: Floats, type: str) -> Bytes:
        """The bytes of a matrix, by its tensor's name."""
        place = input_of(name, self.source.num_layers, self.source.is_tied)
        if place is None or place.name == HEAD or not can_weigh(type):
            return self._rest(name, values, type)
        self._num_compensated += 1
        kept = self.folder / f"{name}.npy"
        if kept.is_file():
            done: Bytes = np.load(kept)
            return done
        data = quantize_compensated(values, type, self._compensation(place, BLOCKS[type][0]))
        with atomic_path(kept) as temporary, temporary.open("wb") as file:
            np.save(file, data)
        return data

    def _compensation(self, place: Input, block: int) -> Compensation:
        if place not in self._grams:
            self._observe(place.layer)
        if (place, block) not in self._factors:
            # Neighbours in the file read the same input.
            self._factors = {(place, block): Compensation.of(self._grams[place], block)}
        return self._factors[place, block]

    def _observe(self, first: int) -> None:
        """Sum up the inputs of as many layers as memory is meant for, from one on."""
        source = self.source
        self._grams.clear()
        layers = range(first, min(first + self._layers_at_once(first), source.num_layers))
        label = f"read the calibration text for layers {layers.start} to {layers.stop - 1}"
        with source.progress.bar(label, source.num_tokens) as advance:
            self._grams = gram_matrices(source.native, source.windows, layers, source.num_layers, advance)

    def _layers_at_once(self, layer: int) -> int:
        """As many as memory is meant for, if all are as wide as this one."""
        columns: dict[Input, int] = {}
        for name, shape in self.source.native.tensor_shapes.items():
            place = input_of(name, self.source.num_layers, self.source.is_tied)
            if place and place.layer == layer and place.name != HEAD:
                columns[place] = shape[0]
        return max(1, _GROUP_BYTES // (4 * sum(count**2 for count in columns.values())))
