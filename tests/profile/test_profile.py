from __future__ import annotations

from pathlib import Path

import pytest

from phonelm.devices import MachineInfo
from phonelm.profile import ProfileConfig, profile_device
from phonelm.profile.profile import last_cache_bytes, probe_bytes

MB = 2**20
MACHINE = MachineInfo(model="m", system="s", num_cores=2, isas=["scalar"], caches_bytes={"l3": 32 * MB})


def test_a_probe_reads_more_than_all_caches_together() -> None:
    assert probe_bytes(MACHINE) > 2 * 32 * MB
    assert last_cache_bytes(MACHINE.model_copy(update={"caches_bytes": {}})) == 8 * MB


@pytest.mark.slow
def test_profile_of_this_machine_is_plausible_and_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PHONELM_CACHE", str(tmp_path))
    profile = profile_device(ProfileConfig())
    project = profile.decode.of("project")
    assert project.at(rows=2048, hidden=2048, footprint_mb=64) > 4 * project.at(
        rows=256, hidden=512, footprint_mb=64
    )
    attention = profile.prefill.of("attention")
    assert attention.at(head_dim=64, group=1, kv_heads=4, context=512) > 0
    assert all(1e8 < b.bytes_per_s < 1e13 for b in profile.bandwidth)
    # Measured anew, no two profiles agree in every figure.
    assert profile_device(ProfileConfig()) == profile
