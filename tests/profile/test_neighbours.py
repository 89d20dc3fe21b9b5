from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from phonelm.profile.neighbours import CpuTimes, cpu_times, others_share
from phonelm.profile.profile import warnings_of
from phonelm.profile.table import machine_lines, steadiness
from synthetic import synthetic_profile

# user nice system idle iowait irq softirq steal guest guest_nice; proc(5)
STAT = "cpu  100 20 30 4000 500 6 7 8 90 10\ncpu0 1 2 3 4 5 6 7 8 9 0\ncpu1 1 2 3 4 5 6 7 8 9 0\nintr 5\n"


def test_the_counters_are_read_as_the_manual_says(tmp_path: Path) -> None:
    (tmp_path / "stat").write_text(STAT)
    times = cpu_times(tmp_path / "stat")
    assert times is not None
    assert times.all_s == pytest.approx((100 + 20 + 30 + 6 + 7 + 8) / os.sysconf("SC_CLK_TCK"))
    assert times.num_cores == 2
    assert cpu_times(tmp_path / "none") is None


def test_what_others_used_is_a_share_of_all_cores() -> None:
    before = CpuTimes(all_s=100, ours_s=10, at_s=0, num_cores=4)
    assert others_share(before, CpuTimes(150, 50, 10, 4)) == pytest.approx(10 / 40)
    assert others_share(before, CpuTimes(150, 90, 10, 4)) == 0.0
    assert others_share(None, before) is None


@pytest.mark.skipif(not Path("/proc/stat").exists(), reason="needs Linux")
def test_a_busy_neighbour_is_seen_and_our_own_work_is_not() -> None:
    def measured(seconds: float) -> float:
        before, end = cpu_times(), time.monotonic() + seconds
        while time.monotonic() < end:
            pass
        return others_share(before, cpu_times()) or 0.0

    alone = measured(0.5)
    spin = "import time\nend = time.monotonic() + 1.5\nwhile time.monotonic() < end: pass"
    with subprocess.Popen([sys.executable, "-c", spin]):
        time.sleep(0.4)
        beside = measured(0.8)
    assert beside > 0.1 / (os.cpu_count() or 1)
    assert 0.0 <= alone <= 1.0


def test_a_busy_machine_is_warned_of() -> None:
    profile = synthetic_profile()
    assert warnings_of(profile) == []
    busy = profile.conditions.model_copy(update={"others_share": 0.43})
    (warning,) = warnings_of(profile.model_copy(update={"conditions": busy}))
    assert "other processes used 43% of its cores" in warning


def test_one_pass_says_nothing_of_the_spread() -> None:
    profile = synthetic_profile()
    assert steadiness(profile) == "3 passes, repeats lie 1% apart, drift +0%"
    once = profile.model_copy(update={"num_passes": 1, "spread": 0.0})
    assert "one pass, spread unknown" in machine_lines(once)[-1]
    assert "0% apart" not in machine_lines(once)[-1]
