from __future__ import annotations

import os
from pathlib import Path

import pytest

from phonelm.evaluate.series import checkpoints_of
from phonelm.files import write_json


def checkpoint(folder: Path, tokens: int, ended_at: int) -> None:
    write_json(folder / "config.json", {})
    write_json(folder / "train.json", {"tokens": tokens})
    os.utime(folder / "train.json", (ended_at, ended_at))


def names_and_tokens(run: Path) -> list[tuple[str, int]]:
    return [(found.name, found.num_tokens) for found in checkpoints_of(run)]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Three stages, of which the first was made again after the second, and one of an earlier recipe."""
    checkpoint(tmp_path / "first", 100, ended_at=3)
    checkpoint(tmp_path / "second", 20, ended_at=2)
    checkpoint(tmp_path / "left over", 7, ended_at=1)
    return tmp_path


def test_stages_come_in_the_recipes_order_and_tokens_add_up(run: Path) -> None:
    names = ["first", "second", "not yet trained"]
    write_json(run / "recipe.json", {"train": [{"name": name} for name in names]})
    assert names_and_tokens(run) == [("first", 100), ("second", 120)]


def test_without_a_recipe_the_order_is_that_of_the_ends(run: Path) -> None:
    assert names_and_tokens(run) == [("left over", 7), ("second", 27), ("first", 127)]


def test_kept_checkpoints_come_before_the_end_of_their_stage(run: Path) -> None:
    write_json(run / "recipe.json", {"train": [{"name": "first"}, {"name": "second"}, {"name": "third"}]})
    for stage, step, tokens in (("second", 4, 8), ("second", 12, 16), ("third", 2, 5)):
        folder = run / stage / "checkpoints" / f"step-{step:09d}"
        write_json(folder / "checkpoint.json", {"step": step, "tokens": tokens})
    assert names_and_tokens(run) == [
        ("first", 100),
        ("second/checkpoints/step-000000004", 108),
        ("second/checkpoints/step-000000012", 116),
        ("second", 120),
        # The third stage has not come to its end.
        ("third/checkpoints/step-000000002", 125),
    ]


def test_a_stage_alone_is_a_checkpoint(run: Path) -> None:
    assert names_and_tokens(run / "second") == [(".", 20)]


@pytest.mark.parametrize("stages", [None, [{"name": "later"}]])
def test_a_folder_without_checkpoints_is_refused(tmp_path: Path, stages: object) -> None:
    if stages:
        write_json(tmp_path / "recipe.json", {"train": stages})
    with pytest.raises(ValueError, match="holds no checkpoint"):
        checkpoints_of(tmp_path)


def test_what_is_no_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is no folder"):
        checkpoints_of(tmp_path / "none")
