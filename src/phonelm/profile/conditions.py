"""The state that a machine is in while it is measured.

Speed is not one number: other virtual machines on a core, the place of a virtual core on its host, or heat
move the rates at which memory is read and numbers are multiplied, for moments or minutes at a time. Probes of
both rates between the measurements tell the states apart; only what was measured in the usual one counts,
here and when a prediction is checked.
"""

from __future__ import annotations

import math
import statistics
from bisect import bisect_right
from collections.abc import Sequence
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from phonelm.devices.asking import Ask, number
from phonelm.profile.tables import Bound

TOLERANCE = 0.12
"""Two rates this share apart are the same state; the noise of a probe is a third of it."""


class Probe(NamedTuple):
    """What the machine did at one moment, with all threads."""

    bytes_per_s: float
    """Read from memory."""
    ops_per_s: float
    """Of the int8 kernel on data in the caches, two operations a multiply-add."""


class Timed(NamedTuple):
    """A measurement between two probes."""

    seconds: float
    before: Probe
    after: Probe


class Conditions(BaseModel):
    """Under what conditions a profile was measured, and how to tell whether they hold."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    isa: str
    num_threads: int
    probe_bytes: int
    """Bytes that a probe reads."""
    bytes_per_s: float = Field(gt=0)
    """Read in the usual state."""
    ops_per_s: float = Field(gt=0)
    """Done in the usual state."""
    usual_share: float = Field(ge=0, le=1)
    """Of the probes, those in which both rates were usual."""
    drift: float
    """How much slower (above 0) the last measurements of the cells were than the first."""
    others_share: float | None = None
    """Of the time of all cores, what other processes and virtual machines used meanwhile; None: unknown."""

    @property
    def rates(self) -> Probe:
        """Both rates of the usual state."""
        return Probe(self.bytes_per_s, self.ops_per_s)

    def probe(self, ask: Ask) -> Probe:
        """Both rates now, on the device that answers."""
        return take_probe(ask, self.isa, self.num_threads, self.probe_bytes)


def take_probe(ask: Ask, isa: str, num_threads: int, num_bytes: int) -> Probe:
    """Measure both rates: a few milliseconds."""
    team = f"isa={isa} threads={num_threads}"
    seconds = number(ask, f"matmul {_MATRIX} min_ms=1 {team}")
    return Probe(number(ask, f"bandwidth bytes={num_bytes} min_ms=0 {team}"), _MATRIX_OPS / seconds)


_MATRIX = "type=q8_0 rows=512 cols=512 tokens=256"
_MATRIX_OPS = 2.0 * 512 * 512 * 256


def usual(sample: Timed, bound: Bound, rates: Probe) -> bool:
    """Whether the rate that bounds a measurement was near the given one."""
    if bound == "memory":
        return all(same(probe.bytes_per_s, rates.bytes_per_s) for probe in (sample.before, sample.after))
    # The short probe is noisy: of two the middle counts.
    middle = math.sqrt(sample.before.ops_per_s * sample.after.ops_per_s)
    return same(middle, rates.ops_per_s)


def counted(samples: Sequence[Timed], bound: Bound, rates: Probe) -> list[float]:
    """Seconds of the samples in the state of these rates; of all where there is none."""
    kept = [sample.seconds for sample in samples if usual(sample, bound, rates)]
    return kept or [sample.seconds for sample in samples]


def relative_range(values: Sequence[float]) -> float:
    """How far repeats lie apart: their range over their median, 0 for a median of 0."""
    middle = statistics.median(values)
    return (max(values) - min(values)) / middle if middle > 0 else 0.0


def same(rate: float, other: float) -> bool:
    """Whether two rates are so near that they are the same state."""
    return abs(math.log(rate / other)) <= math.log(1 + TOLERANCE)


def usual_rates(probes: Sequence[Probe]) -> Probe:
    """Of each rate the one that most are near."""
    return Probe(*(usual_rate(rates) for rates in zip(*probes, strict=True)))


def usual_rate(rates: Sequence[float]) -> float:
    """The rate that most others are near, in the middle of those. Raises `ValueError` for none."""
    if not rates:
        raise ValueError("there is no rate to take the usual one of")
    rising = sorted(rates)
    ends = [bisect_right(rising, rate * (1 + TOLERANCE) ** 2) for rate in rising]
    first = max(range(len(rising)), key=lambda i: ends[i] - i)
    return rising[(first + ends[first]) // 2]
