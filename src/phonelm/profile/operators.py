"""Measures the cost table: every operator of the graph with the shipped kernels, in decode and in prefill.

All cells are measured once, then all again, and so on: a disturbance of a second then spoils one repeat of
some cells and not all repeats of one. Between them the machine's state is probed (see `conditions`), and the
median of the repeats in the usual state counts.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from phonelm.devices.asking import Ask, number
from phonelm.profile.conditions import (
    Conditions,
    Probe,
    Timed,
    counted,
    relative_range,
    same,
    take_probe,
    usual_rates,
)
from phonelm.profile.grid import CostGrid
from phonelm.profile.tables import Table
from phonelm.progress import Progress

PROBE_EVERY_S = 0.04


@dataclass(frozen=True)
class Settings:
    """What all measurements of a profile share."""

    min_time_ms: float
    isa: str
    num_threads: int
    probe_bytes: int

    @property
    def words(self) -> str:
        """The settings as a request says them, the team alike in all: another one would be made again."""
        return f"min_ms={self.min_time_ms:g} isa={self.isa} threads={self.num_threads}"

    def probe(self, ask: Ask) -> Probe:
        """The machine's rates now."""
        return take_probe(ask, self.isa, self.num_threads, self.probe_bytes)


@dataclass
class Cell:
    """One point of one table: how to ask for it and what was measured."""

    table: Table
    request: str
    samples: list[Timed] = field(default_factory=list)
    """One a pass."""

    def counted(self, rates: Probe) -> list[float]:
        """Seconds of the repeats in the usual state; of all where there is none."""
        return counted(self.samples, self.table.bound, rates)


@dataclass
class Measured:
    """Cost tables by name, and under what conditions they came about."""

    grids: dict[str, CostGrid]
    conditions: Conditions
    spread: float
    num_passes: int


def measure_operators(
    tables: Sequence[Table], ask: Ask, settings: Settings, seconds: float, progress: Progress
) -> Measured:
    """Measure all tables, pass after pass, within about `seconds` (at least one pass, at most 15).

    Raises `ValueError` for a request that is refused.
    """
    cells = [
        Cell(table, f"{table.request(sizes)} {settings.words}")
        for table in tables
        for sizes in table.points()
    ]
    run = _Run(ask, settings, cells)
    num_passes = run.repeat(seconds, 15, progress)
    rates = usual_rates(run.probes)
    grids = {
        table.name: CostGrid(
            axes=table.axes,
            seconds=[statistics.median(cell.counted(rates)) for cell in cells if cell.table is table],
        )
        for table in tables
    }
    spread = statistics.median(relative_range(cell.counted(rates)) for cell in cells)
    return Measured(grids, _conditions(settings, run, rates), spread, num_passes)


def _conditions(settings: Settings, run: _Run, rates: Probe) -> Conditions:
    near = [all(same(*pair) for pair in zip(probe, rates, strict=True)) for probe in run.probes]
    return Conditions(
        isa=settings.isa,
        num_threads=settings.num_threads,
        probe_bytes=settings.probe_bytes,
        bytes_per_s=rates.bytes_per_s,
        ops_per_s=rates.ops_per_s,
        usual_share=sum(near) / len(near),
        drift=_drift(run.cells),
    )


class _Run:
    """The passes over all cells, with probes in between."""

    def __init__(self, ask: Ask, settings: Settings, cells: Sequence[Cell]) -> None:
        self.ask, self.settings, self.cells = ask, settings, cells
        self.probes: list[Probe] = []

    def repeat(self, seconds: float, most: int, progress: Progress) -> int:
        """Measure every cell pass after pass; a pass that would not end in time is not begun."""
        begin = time.perf_counter()
        num_passes = 0
        with progress.bar("measuring operators", seconds) as advance:
            while num_passes < most and (
                num_passes == 0 or (time.perf_counter() - begin) * (num_passes + 1) / num_passes < seconds
            ):
                self._pass(advance)
                num_passes += 1
        return num_passes

    def _pass(self, advance: Callable[[float], None]) -> None:
        waiting: list[tuple[Cell, float]] = []
        before, since = self._probe(), time.perf_counter()
        for i, cell in enumerate(self.cells):
            waiting.append((cell, number(self.ask, cell.request)))
            now = time.perf_counter()
            if now - since < PROBE_EVERY_S and i + 1 < len(self.cells):
                continue
            after = self._probe()
            for measured, seconds in waiting:
                measured.samples.append(Timed(seconds, before, after))
            waiting.clear()
            advance(now - since)
            before, since = after, time.perf_counter()

    def _probe(self) -> Probe:
        self.probes.append(self.settings.probe(self.ask))
        return self.probes[-1]


def _drift(cells: Sequence[Cell]) -> float:
    """How much slower the last pass was than the first: the median over the cells."""
    return statistics.median(cell.samples[-1].seconds / cell.samples[0].seconds for cell in cells) - 1
