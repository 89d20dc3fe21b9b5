from __future__ import annotations

import statistics
import time
from pathlib import Path

import pytest

from phonelm.profile import MachineInfo, ProfileConfig, profile_device
from phonelm.profile.operators import Cell
from phonelm.profile.profile import footprint_class

MB = 2**20
MACHINE = MachineInfo(model="m", system="s", num_cores=2, isas=["scalar"], caches_bytes={"l3": 32 * MB})


@pytest.mark.parametrize(
    ("size", "expected"),
    [(1, 1), (MB, 1), (3 * MB, 4), (11 * MB, 8), (12 * MB, 16), (40 * MB, 32), (50 * MB, 64), (10**10, 64)],
)
def test_footprints_fall_into_classes_up_to_twice_the_last_cache(size: int, expected: int) -> None:
    assert footprint_class(size, MACHINE) == expected * MB


def test_disturbed_repeats_do_not_count() -> None:
    cell = Cell("t", lambda: 0.0, [1.0, 1.1, 1.0, 50.0, 1.2])
    assert cell.seconds == pytest.approx(1.0)
    assert cell.spread == pytest.approx(49 / statistics.median(cell.samples))


@pytest.mark.slow
def test_profile_of_this_machine_is_plausible_and_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PHONELM_CACHE", str(tmp_path))
    begin = time.perf_counter()
    profile = profile_device(ProfileConfig(footprint_mb=4))
    assert time.perf_counter() - begin < 60
    matmul = profile.decode.matmul_block
    assert matmul.at(rows=2048, cols=2048) > 4 * matmul.at(rows=256, cols=512)
    attention = profile.prefill.attention
    assert attention.at(head_dim=64, group=1, kv_heads=4, context=512) > 0
    assert all(1e8 < b.bytes_per_s < 1e13 for b in profile.bandwidth)
    begin = time.perf_counter()
    assert profile_device(ProfileConfig(footprint_mb=4)) == profile
    assert time.perf_counter() - begin < 1
