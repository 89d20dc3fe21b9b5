"""What the survey's figures are drawn from: the suite's rows, the registry's models, published scores."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from phonelm.arch import DecoderConfig
from phonelm.arch.registry import RegistryRow, registry
from phonelm.bench.suite import SuiteRow, shape_of

BASE_TYPE = "q4_0"
"""The type in which models are compared."""


@dataclass(frozen=True)
class Score:
    """A published accuracy of a model, in percent."""

    model: str
    published_as: str
    metric: str
    accuracy_percent: float
    source: str


@dataclass(frozen=True)
class MeasuredModel:
    """A measured shape and the models that have it."""

    row: SuiteRow
    models: tuple[RegistryRow, ...]

    @property
    def names(self) -> str:
        """All names."""
        return ", ".join(model.name for model in self.models)

    @property
    def label(self) -> str:
        """The names, with an equal ending said once: `Qwen2/Qwen2.5-0.5B`."""
        parts = [model.name.rpartition("-") for model in self.models]
        if len({ending for _, _, ending in parts}) > 1:
            return self.names
        return f"{'/'.join(family for family, _, _ in parts)}-{parts[0][2]}"


@cache
def published_scores() -> list[Score]:
    """The published accuracies that ship with the package, each with its source."""
    text = files("phonelm.report.survey").joinpath("published_accuracy.csv").read_text(encoding="utf-8")
    return [
        Score(
            cells["model"], cells["published_as"], cells["metric"],
            float(cells["accuracy_percent"]), cells["source"],
        )
        for cells in csv.DictReader(text.splitlines())
    ]  # fmt: skip


def measured_models(rows: Sequence[SuiteRow], block_type: str | None = BASE_TYPE) -> list[MeasuredModel]:
    """The rows of a type (None: of all) whose shapes the registry has, the smallest model first."""
    names: dict[DecoderConfig, list[RegistryRow]] = {}
    for model in registry():
        if model.config is not None:
            names.setdefault(shape_of(model.config), []).append(model)
    found = [
        MeasuredModel(row, tuple(names[row.shape]))
        for row in rows
        if row.shape in names and block_type in (None, row.block_type)
    ]
    return sorted(found, key=lambda model: model.row.parameters)
