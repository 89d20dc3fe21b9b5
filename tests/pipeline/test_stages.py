"""The whole way on a corpus of a few files and a model of a few hundred thousand parameters."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

import phonelm
from phonelm.arch import count_parameters
from phonelm.evaluate.series import checkpoints_of
from phonelm.pipeline import Recipe, build
from phonelm.pipeline.stages import stages_of
from phonelm.pipeline.training import TAKEN
from phonelm.train.config import TrainConfig

TRAIN: list[dict[str, Any]] = [
    {
        "name": "stable",
        "steps": 4,
        "batch_size": 4,
        "sequence_length": 64,
        "warmup_steps": 1,
        "valid_tokens": 512,
        "sample_tokens": 4,
    },
    {"name": "decay", "steps": 2, "decay_steps": 2},
    {"name": "more", "steps": 3, "decay_steps": 1, "batch_size": 2},
]
TALK: dict[str, Any] = {
    "name": "talk",
    "kind": "instruct",
    "steps": 2,
    "batch_size": 1,
    "sequence_length": 64,
}
RECIPE: dict[str, Any] = {
    "name": "tiny",
    "seed": 3,
    "search": {
        "params": "400k",
        "vocab_size": 512,
        "context_length": 128,
        "prompt_tokens": 32,
        "output_tokens": 16,
        "space": {
            "hidden": {"min": 64, "max": 256, "step": 32},
            "layers": {"min": 2, "max": 12},
            "head_dim": [32],
        },
    },
    "quantize": {"kl_tokens": 128},
    "run": {"prompts": ["def "], "max_tokens": 8, "rounds": 1, "repeats": 2},
}


def recipe_of(train: list[dict[str, Any]], **changes: Any) -> Recipe:
    return Recipe.model_validate({**RECIPE, **changes, "train": train})


@pytest.mark.parametrize("num_stages", [1, 2, 3])
def test_each_stage_of_training_needs_the_one_before_it(num_stages: int) -> None:
    recipe = recipe_of(TRAIN[:num_stages])
    stages = {stage.name: stage for stage in stages_of(recipe)}
    names = ["stable", "decay", "more"][:num_stages]
    assert list(stages) == ["profile", "search", "data", *names, "quantize", "run", "report"]
    for number, name in enumerate(names):
        assert stages[name].needs == ("search", "data", *names[:number][-1:])
        assert stages[name].outputs == (f"{name}/model.safetensors",)
    assert stages["quantize"].needs == ("search", "data", names[-1])
    assert set(names) < set(stages["report"].needs)


def test_a_stage_of_training_is_known_by_the_loops_settings() -> None:
    stage = next(stage for stage in stages_of(recipe_of(TRAIN)) if stage.name == "decay")
    written = {**TRAIN[0], **TRAIN[1], "warmup_steps": 0, "seed": 3}
    del written["name"]
    settings = TrainConfig.model_validate(written)
    assert stage.settings(recipe_of(TRAIN)) == settings.model_dump(mode="json")


def test_no_stage_of_training_may_be_named_as_what_else_is_there() -> None:
    others = [stage for stage in stages_of(recipe_of(TRAIN[:1])) if stage.name != "stable"]
    places = {output.split("/")[0] for stage in others for output in stage.outputs}
    folders = {place for place in places if "." not in place}
    assert {stage.name for stage in others} | folders | {"stages"} == TAKEN


@pytest.fixture
def corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PHONELM_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "corpus"
    folder.mkdir()
    for index, path in enumerate(sorted(Path(phonelm.__file__).parent.rglob("*.py"))):
        (folder / f"{index}.py").write_text(path.read_text())
    return folder


def times_of(run: Path, *names: str) -> list[int]:
    return [(run / name).stat().st_mtime_ns for name in names]


@pytest.mark.slow
def test_from_a_budget_to_a_model_that_runs(tmp_path: Path, corpus: Path) -> None:
    pytest.importorskip("torch")
    run = tmp_path / "run"
    data = {"source": str(corpus), "valid_fraction": 0.1}
    two = recipe_of(TRAIN[:2], data=data)
    build(two, run)

    with phonelm.load(run) as model:
        assert abs(count_parameters(model.config).total - 400_000) <= 8_000
        assert model.logits([1, 2, 3]).shape == (3, 512)
    quantized = json.loads((run / "quantize.json").read_text())
    assert 0 <= quantized["kl_divergence"] < 0.05
    assert 4.5 < quantized["bits_per_weight"] < 6.5
    speeds = json.loads((run / "run.json").read_text())["speeds"]
    assert {"chosen", "conventional"} == set(speeds)
    assert all(
        speed[phase]["measured_tok_s"] > 0 for speed in speeds.values() for phase in ("decode", "prefill")
    )
    page = (run / "report.html").read_text()
    assert "http" not in page

    written = times_of(run, "model.gguf", "quantize.json")
    build(two, run)
    assert times_of(run, "model.gguf", "quantize.json") == written

    # Further stages go on from those that are trained, fewer leave them as they are.
    kept = times_of(run, "stable/train.json", "decay/train.json")
    for stages in (TRAIN, TRAIN[:1]):
        build(recipe_of(stages, data=data), run)
        names = [stage["name"] for stage in stages]
        assert [checkpoint.name for checkpoint in checkpoints_of(run)] == names
        assert training_table(run / "report.html") == names
        assert times_of(run, "stable/train.json", "decay/train.json") == kept
        made_from = json.loads((run / "stages" / "quantize.json").read_text())
        last = json.loads((run / "stages" / f"{names[-1]}.json").read_text())
        assert made_from["made"]["made_at"] >= last["made"]["made_at"]

    # Conversations come last; another one changes that stage only.
    chats = tmp_path / "chats.jsonl"
    for count in (6, 7):
        rows = [
            [{"role": "user", "content": f"{n}"}, {"role": "assistant", "content": "ok"}]
            for n in range(count)
        ]
        chats.write_text("".join(json.dumps({"messages": row}) + "\n" for row in rows))
        talk = {**TALK, "chats": {"sources": [str(chats)]}}
        build(recipe_of([*TRAIN[:2], talk], data=data), run)
        assert times_of(run, "stable/train.json", "decay/train.json") == kept
        manifest = json.loads((run / "talk" / "data" / "data.json").read_text())
        assert manifest["train"]["documents"] + manifest["valid"]["documents"] == count
    with phonelm.load(run) as model:
        assert model.chat([{"role": "user", "content": "1"}], max_tokens=2) is not None


def training_table(report: Path) -> list[str]:
    """The names of the stages in the report's table of training."""
    table = re.search(r"<tr><th>stage</th>.*?</table>", report.read_text(), re.DOTALL)
    assert table
    return re.findall(r"^<tr><td>([^<]*)</td>", table.group(), re.MULTILINE)
