"""What other processes did on this machine while something was measured on it."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import NamedTuple

_STAT = Path("/proc/stat")
_IDLE = (3, 4)
"""Columns of idle time and of waiting for disks; proc(5)."""
_GUEST = 8
"""The first of the columns that others hold already."""


class CpuTimes(NamedTuple):
    """Seconds since the machine began: of all processes, with what other virtual machines took; of ours."""

    all_s: float
    ours_s: float
    at_s: float
    num_cores: int


def cpu_times(stat: Path = _STAT) -> CpuTimes | None:
    """The counters now; None where the system has none like Linux's."""
    try:
        lines = stat.read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    cores = sum(line.startswith("cpu") for line in lines) - 1
    if cores < 1:
        return None
    columns = [int(value) for value in lines[0].split()[1:]][:_GUEST]
    busy = sum(value for column, value in enumerate(columns) if column not in _IDLE)
    ours = os.times()
    # Of the children only those that have ended are known, and of those all is counted at their end.
    return CpuTimes(busy / os.sysconf("SC_CLK_TCK"), ours.user + ours.system, time.monotonic(), cores)


def others_share(before: CpuTimes | None, after: CpuTimes | None) -> float | None:
    """The share of all cores' time that others used between two readings, 0 to 1; None without readings."""
    if before is None or after is None or after.at_s <= before.at_s:
        return None
    others = (after.all_s - before.all_s) - (after.ours_s - before.ours_s)
    return min(1.0, max(0.0, others / ((after.at_s - before.at_s) * after.num_cores)))
