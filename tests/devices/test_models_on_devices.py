"""Whole models behind adb and ssh, and on this machine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from phonelm.bench.on_device import time_model
from phonelm.cli import main
from phonelm.devices import DeviceError, open_device
from phonelm.profile import ProfileConfig, profile_device
from phonelm.search.cost import Request
from phonelm.search.measure_device import measure_models_on
from shapes import TINY

pytestmark = pytest.mark.slow
COUNTS = (8, 4, 2)


def test_a_model_on_a_phone(make_phone: Any, tiny_gguf: Path) -> None:
    phone, serial = make_phone()
    with open_device(f"adb:{serial}") as device:
        timing = time_model(device, tiny_gguf, *COUNTS, num_threads=1)
    assert (timing.model, timing.isa) == (tiny_gguf.name, "dotprod")
    assert (timing.prompt_tokens, timing.generated_tokens, timing.repeats) == COUNTS
    assert timing.prefill_s > 0
    assert timing.decode_s > 0
    assert timing.file_bytes == tiny_gguf.stat().st_size
    assert not list(phone.folder.rglob("*.gguf*"))


def test_this_machine_gives_the_same_figures(tiny_gguf: Path) -> None:
    with open_device() as device:
        timing = time_model(device, tiny_gguf, *COUNTS, num_threads=1, isa="scalar")
    assert (timing.isa, timing.decode_threads) == ("scalar", 1)
    assert timing.prefill_s > 0


def test_what_the_device_refuses_leaves_no_file_there(make_phone: Any, tiny_gguf: Path) -> None:
    phone, serial = make_phone("cortex-a53")
    with open_device(f"adb:{serial}") as device:
        with pytest.raises(
            DeviceError, match="instruction set 'dotprod' is not known or not in this machine"
        ):
            time_model(device, tiny_gguf, *COUNTS, isa="dotprod")
        with pytest.raises(ValueError, match="exceed the context"):
            time_model(device, tiny_gguf, 1000)
    assert not list(phone.folder.rglob("*.gguf*"))


def test_the_verb(
    make_phone: Any, tiny_gguf: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def bench(*words: str) -> int:
        monkeypatch.setattr("sys.argv", ["phonelm", "bench", str(tiny_gguf), *words])
        with pytest.raises(SystemExit) as end:
            main()
        return int(end.value.code or 0)

    _, serial = make_phone()
    counts = ("--prompt", "8", "--generate", "4", "--repeats", "1")
    assert bench("--device", f"adb:{serial}", *counts, "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["machine"]["model"] == "Maker Model 9 (SoC 7)"
    assert [result["isa"] for result in document["results"]] == ["dotprod"]
    assert bench("--device", f"adb:{serial}", *counts) == 0
    assert "dotprod" in capsys.readouterr().out
    assert bench("--device", "adb:nobody", *counts) == 1
    assert "adb has no device nobody" in capsys.readouterr().err
    assert bench("--device", f"adb:{serial}", "--layers") == 2
    assert bench("--program", "phonelm-cli") == 2


def test_random_weights_on_the_profiled_phone(make_phone: Any, tiny_plan: ProfileConfig) -> None:
    _, serial = make_phone()
    configs = [TINY.model_copy(update={"num_layers": n, "hidden_size": 128}) for n in (1, 6)]
    request = Request(prompt_tokens=16, output_tokens=8, context_length=24)
    with open_device(f"adb:{serial}") as device:
        profile = profile_device(tiny_plan, device=device)
        small, large = measure_models_on(device, configs, request, profile, rounds=1)
        other = profile.model_copy(update={"kernels": "others"})
        with pytest.raises(ValueError, match=r"with kernels others.*phonelm profile --device adb:"):
            measure_models_on(device, configs, request, other)
    for model in (small, large):
        assert min(model.decode_ms, model.prefill_ms) > 0
        assert (model.decode_spread, model.prefill_spread) == (0, 0)
