"""The suite on a phone behind adb."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from phonelm.bench.suite import Entry, Selection, SuiteOptions, choose_device, run_suite, shape_of
from phonelm.bench.suite.device_meter import meter_of
from phonelm.devices import machine_info, open_device
from phonelm.progress import Progress
from shapes import TINY

pytestmark = pytest.mark.slow


def test_a_shape_on_a_phone(make_phone: Any, tmp_path: Path) -> None:
    phone, serial = make_phone()
    selection = Selection([Entry(("small",), shape_of(TINY), 1000)], {})
    with open_device(f"adb:{serial}") as device:
        outcome = run_suite(
            selection, tmp_path / "rows.jsonl", SuiteOptions(("q4_0",)), Progress(), meter_of(device)
        )
    assert not outcome.left_out
    (row,) = outcome.rows
    assert row.isa == "dotprod"
    assert [timing.prompt_tokens for timing in row.prompts] == [50, 512]
    assert min(timing.decode_s.low for timing in row.prompts) > 0
    assert not list(phone.folder.rglob("*.gguf*"))
    assert choose_device(outcome.rows, machine_info()).name == "Maker Model 9 (SoC 7)"
