from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from phonelm.files import provenance, write_json
from phonelm.report import write_report
from phonelm.report.run_folder import AFTER_TRAINING, BEFORE_TRAINING, RunFolder
from phonelm.search import SearchConfig, search
from synthetic import synthetic_profile
from tags import Tags

TRAIN = {"steps": 10, "batch_size": 2, "sequence_length": 8, "learning_rate": 0.001}
TRAINING = {
    "one": [{"name": "all", **TRAIN, "decay_steps": 3}],
    "two": [{"name": "stable", **TRAIN, "decay_steps": 0}, {"name": "decay", **TRAIN, "decay_steps": 10}],
    "three": [
        {"name": "first", **TRAIN, "decay_steps": 5},
        {"name": "second", **TRAIN, "batch_size": 4, "decay_steps": 0},
        {"name": "a-rather-long-name", **TRAIN, "decay_steps": 10},
    ],
}
SPEED = {
    "predicted_tok_s": 1100.0,
    "measured_tok_s": 1000.0,
    "measured_low": 900.0,
    "measured_high": 1010.0,
    "error": 0.1,
}


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    return write_run(tmp_path, TRAINING["two"])


def write_run(tmp_path: Path, stages: list[dict[str, Any]]) -> Path:
    profile = synthetic_profile()
    space = {"hidden": {"min": 64, "max": 512, "step": 64}, "head_dim": [32, 64]}
    settings: dict[str, Any] = {"params": "4.7M", "vocab_size": 4096, "space": space}
    profile.save(tmp_path / "device.json")
    search(SearchConfig.model_validate(settings), profile).save(tmp_path / "design.json")
    write_json(
        tmp_path / "recipe.json",
        {
            "name": "test <run>",
            "seed": 1,
            "search": {"prompt_tokens": 128, "output_tokens": 64},
            "train": stages,
            "run": {"rounds": 2, "repeats": 3, "temperature": 0.7, "top_p": 0.9},
        },
    )
    write_json(tmp_path / "data" / "data.json", {})
    write_json(
        tmp_path / "quantize.json",
        {
            "file_bytes": 2_500_000,
            "bits_per_weight": 5.21,
            "kl_divergence": 0.0123,
            "same_top_token": 0.97,
            "kl_tokens": 2000,
            "types": {"Q4_0": 42, "Q8_0": 1},
        },
    )
    speeds = {
        "chosen": {"decode": SPEED, "prefill": SPEED},
        "conventional": {"decode": SPEED, "prefill": SPEED},
    }
    samples = [{"prompt": "def <f>", "text": "(x): return '</div>'"}]
    write_json(tmp_path / "run.json", {"speeds": speeds, "samples": samples, "made": provenance(seed=1)})
    names = [stage["name"] for stage in stages]
    for name in (*BEFORE_TRAINING, *names, *AFTER_TRAINING):
        record = {"summary": f"{name} & co", "seconds": 1.5, "made": provenance(config=TRAIN, seed=1)}
        write_json(tmp_path / "stages" / f"{name}.json", record)
    for name in names:
        lines = [
            {"kind": "train", "step": 5, "loss": 4.0},
            {"kind": "train", "step": 10, "loss": 3.0},
            {"kind": "valid", "step": 10, "loss": 3.0, "bits_per_byte": 1.5},
        ]
        (tmp_path / name).mkdir()
        (tmp_path / name / "train.jsonl").write_text("\n".join(map(json.dumps, lines)))
    return tmp_path


def test_the_page_stands_alone_and_escapes_what_the_model_wrote(run_folder: Path) -> None:
    page = write_report(run_folder).read_text()
    tags = Tags()
    tags.feed(page)
    assert not tags.loads
    assert "http" not in page
    assert not {"script", "link", "img", "iframe"} & set(tags.tags)
    assert tags.tags.count("svg") == 5
    assert len(tags.ids) == len(set(tags.ids))
    assert "def &lt;f&gt;" in page
    assert "</div>'" not in page


def test_figures_refer_only_to_ids_of_the_page(run_folder: Path) -> None:
    page = write_report(run_folder).read_text()
    tags = Tags()
    tags.feed(page)
    references = set(re.findall(r'(?:href="|url\()#([^")]+)', page))
    assert references <= set(tags.ids)


def test_the_key_figures_are_there(run_folder: Path) -> None:
    page = write_report(run_folder).read_text()
    for words in ("1,000", "1.500", "5.21", "0.0123", "42 Q4_0", "data &amp; co", "test &lt;run&gt;"):
        assert words in page


def test_all_stages_of_training_share_an_axis_of_tokens(run_folder: Path) -> None:
    curve = RunFolder.read(run_folder).curve()
    assert curve.train == [(80, 2.0), (160, 1.5), (240, 2.0), (320, 1.5)]
    assert curve.valid == [(160, 1.5), (320, 1.5)]
    assert [(span.name, span.begin, span.end) for span in curve.stages] == [
        ("stable", 0, 160),
        ("decay", 160, 320),
    ]
    assert curve.decays == [(160, 320)]


@pytest.mark.parametrize(
    ("number", "borders", "decays"),
    [("one", [160], [(112, 160)]), ("three", [160, 480, 640], [(80, 160), (480, 640)])],
)
def test_the_learning_rate_falls_where_the_schedule_says(
    tmp_path: Path, number: str, borders: list[float], decays: list[tuple[float, float]]
) -> None:
    run = RunFolder.read(write_run(tmp_path, TRAINING[number]))
    assert [span.end for span in run.curve().stages] == borders
    assert run.curve().decays == decays
    assert run.num_tokens == borders[-1]


@pytest.mark.parametrize("number", list(TRAINING))
def test_the_page_names_the_stages_in_figure_table_and_records(tmp_path: Path, number: str) -> None:
    page = write_report(write_run(tmp_path, TRAINING[number])).read_text()
    places = [page.index(f"<tr><td>{stage['name']}</td>") for stage in TRAINING[number]]
    assert places == sorted(places)
    for stage in TRAINING[number]:
        assert f"{stage['name']} &amp; co" in page
        assert re.search(rf"<text[^>]*>{stage['name']}</text>", page)
    assert "learning rate falls" in page


def test_no_decay_and_no_log_is_a_report_too(tmp_path: Path) -> None:
    run_folder = write_run(tmp_path, [{"name": "all", **TRAIN, "decay_steps": 0}])
    (run_folder / "all" / "train.jsonl").unlink()
    assert "learning rate falls" not in write_report(run_folder).read_text()


def test_the_recipe_of_an_earlier_version_says_what_to_do(run_folder: Path) -> None:
    write_json(run_folder / "recipe.json", {"train": {"stable": TRAIN, "decay": TRAIN}})
    with pytest.raises(ValueError, match="no list of stages"):
        write_report(run_folder)


def test_a_run_that_is_not_that_far_names_the_missing_file(run_folder: Path) -> None:
    (run_folder / "run.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"run\.json"):
        write_report(run_folder)
    assert not (run_folder / "report.html").exists()


def test_the_headline_is_the_speed_that_users_get(run_folder: Path) -> None:
    document = json.loads((run_folder / "run.json").read_text())
    page = write_report(run_folder).read_text()
    assert "<b>1,000</b><span>tokens/s decode, measured" in page
    sparse = {"measured_tok_s": 1350.0, "dead_fraction": 0.9}
    document["speeds"]["chosen"]["without_dead_neurons"] = sparse
    write_json(run_folder / "run.json", document)
    page = write_report(run_folder).read_text()
    assert "<b>1,350</b><span>tokens/s decode, measured<br>1,000 with the dead neurons too" in page
    assert "with all neurons of both computed" in page
    text = re.sub(r"<[^>]*>", " ", page)
    assert not re.findall(r"[a-z]\.[A-Z][a-z]+ ", text)
