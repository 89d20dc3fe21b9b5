from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from phonelm.cli import make_app
from phonelm.devices import kernels_fingerprint, machine_info
from phonelm.profile import DeviceProfile
from phonelm.search import Design
from phonelm.search.measure import WholeModel
from synthetic import synthetic_profile

Command = Callable[..., subprocess.CompletedProcess[str]]
BUDGET = ("search", "--params", "2M", "--vocab", "1024", "--keep", "head_dim=32", "--keep", "ffn=gated relu")


@pytest.fixture
def device(tmp_path: Path) -> Path:
    synthetic_profile().save(tmp_path / "device.json")
    return tmp_path / "device.json"


def test_a_profile_and_a_budget_make_a_design_and_its_page(
    phonelm: Command, device: Path, tmp_path: Path
) -> None:
    out = tmp_path / "new" / "design.json"
    done = phonelm(*BUDGET, "--device", device, "--prefer", "speed", "--out", out, "--json")
    assert done.returncode == 0, done.stderr
    design = Design.load(out)
    assert json.loads(done.stdout.splitlines()[-1])["chosen"] == json.loads(out.read_text())["chosen"]
    assert design.chosen.config.layers[0].mixer.head_dim == 32
    assert design.prefer == "speed"
    # The profile is of a machine that is nowhere: nothing can be measured beside it.
    assert design.verification is None
    assert "another machine" in design.verification_note
    assert "model Formula there" in " ".join(done.stderr.split())
    page = (tmp_path / "new" / "design.html").read_text()
    assert "http" not in page
    assert design.chosen.name in page


def test_whole_models_are_measured_where_the_profile_is_of_this_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    here = {"machine": machine_info(), "kernels": kernels_fingerprint()}
    synthetic_profile().model_copy(update=here).save(tmp_path / "device.json")
    measured = [WholeModel(0.1, 10.0, 0.01, 0.01, 1.0)]
    monkeypatch.setattr(
        "phonelm.search.verifier.measure_models", lambda configs, *_, **__: measured * len(configs)
    )
    out = tmp_path / "design.json"
    arguments = (*BUDGET, "--device", tmp_path / "device.json", "--verify", 4, "-o", out)
    make_app()(map(str, arguments), standalone_mode=False)
    found = Design.load(out).verification
    assert found is not None
    assert {row.role for row in found.rows} >= {"chosen", "front", "sample"}
    assert "median error" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--params", "5"), "the nearest has"),
        (("--max-decode-ms", "1e-9"), "no shape of 2,000,000 parameters meets the limits; the nearest takes"),
        (("--keep", "layers"), "write NAME=VALUE"),
        (("--device", "adb"), "--device adb stands alone"),
        (("--keep", "layers=9", "--keep", "layers=8"), "names a dimension twice"),
        (("--keep", "layers=1000"), "outside the space"),
        (("--prefer", "luck"), "prefer: Input should be"),
        (("--space", "nowhere.yaml"), "no such file or folder: nowhere.yaml"),
        (("--prompt", "500", "--output", "500"), "do not fit"),
    ],
)
def test_mistakes_are_one_line(
    phonelm: Command, device: Path, tmp_path: Path, arguments: tuple[str, ...], words: str
) -> None:
    done = phonelm(*BUDGET, "--no-verify", "--device", device, "-o", tmp_path / "d.json", *arguments)
    assert done.returncode == 1
    assert words in done.stderr.splitlines()[-1]
    assert not (tmp_path / "d.json").exists()


def test_no_budget_is_wrong_usage(phonelm: Command) -> None:
    done = phonelm("search")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "--params" in done.stderr


def broken(profile: DeviceProfile, change: str) -> str:
    document = profile.model_dump(mode="json")
    if change == "version":
        document["version"] = 1
    else:
        del document["decode"]["operators"][change]
    return json.dumps(document)


@pytest.mark.parametrize(("change", "words"), [("ffn_gated", "no cost of ffn_gated"), ("version", "version")])
def test_a_profile_that_lacks_an_operator_or_is_old_is_measured_again(
    phonelm: Command, tmp_path: Path, change: str, words: str
) -> None:
    (tmp_path / "device.json").write_text(broken(synthetic_profile(), change))
    done = phonelm(*BUDGET, "--device", tmp_path / "device.json", "-o", tmp_path / "d.json")
    assert done.returncode == 1
    assert words in done.stderr
    assert "phonelm profile" in done.stderr


def test_what_was_priced_is_there_when_the_measuring_is_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = {"machine": machine_info(), "kernels": kernels_fingerprint()}
    synthetic_profile().model_copy(update=here).save(tmp_path / "device.json")

    def stopped(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("phonelm.search.verifier.measure_models", stopped)
    out = tmp_path / "design.json"
    words = [*BUDGET, "--device", str(tmp_path / "device.json"), "-o", str(out)]
    assert make_app()(words, standalone_mode=False) == 1
    assert Design.load(out).verification is None
    assert (tmp_path / "design.html").is_file()
