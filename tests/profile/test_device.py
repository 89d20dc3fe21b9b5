from __future__ import annotations

import json
from pathlib import Path

import pytest

from phonelm.profile import DeviceProfile
from synthetic import synthetic_profile


def test_a_profile_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    profile = synthetic_profile()
    profile.save(tmp_path / "device.json")
    assert DeviceProfile.load(tmp_path / "device.json") == profile


def test_another_format_is_refused_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "device.json"
    path.write_text(json.dumps({**synthetic_profile().model_dump(mode="json"), "version": 99}))
    with pytest.raises(ValueError, match=r"not a device profile of this version .*phonelm profile") as caught:
        DeviceProfile.load(path)
    assert "\n" not in str(caught.value)
