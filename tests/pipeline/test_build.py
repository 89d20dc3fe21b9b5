from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from test_recipe import MINIMAL

from phonelm.pipeline import Recipe, build
from phonelm.pipeline.stage import Context, Outcome, Stage
from phonelm.progress import Progress


class Lines(Progress):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def line(self, text: str) -> None:
        self.lines.append(text)


class Counting:
    """Two stages on real files: `first` writes a number of the recipe, `second` doubles it."""

    def __init__(self) -> None:
        self.ran: list[str] = []
        self.interrupt_second = False

    def first(self, context: Context) -> Outcome:
        self.ran.append("first")
        number = context.recipe.quantize.kl_tokens % 100
        context.path("first.json").write_text(json.dumps(number))
        return Outcome(f"wrote {number}", number)

    def second(self, context: Context) -> Outcome:
        self.ran.append("second")
        if self.interrupt_second:
            raise KeyboardInterrupt
        number = 2 * json.loads(context.path("first.json").read_text())
        context.path("second.json").write_text(json.dumps(number))
        return Outcome(f"wrote {number}", number)

    @property
    def stages(self) -> list[Stage]:
        return [
            Stage("first", (), ("first.json",), lambda recipe: recipe.quantize.kl_tokens, self.first),
            Stage("second", ("first",), ("second.json",), lambda recipe: recipe.seed, self.second),
        ]


def recipe(**changes: Any) -> Recipe:
    return Recipe.model_validate({**MINIMAL, **changes})


def test_a_second_build_runs_nothing_and_says_so(tmp_path: Path) -> None:
    counting, lines = Counting(), Lines()
    records = build(recipe(), tmp_path, lines, counting.stages)
    again = build(recipe(), tmp_path, lines, counting.stages)
    assert counting.ran == ["first", "second"]
    assert again == records
    assert [("done before" in line) for line in lines.lines] == [False, False, True, True]


def test_only_what_changed_and_what_follows_is_run_again(tmp_path: Path) -> None:
    counting = Counting()
    build(recipe(), tmp_path, stages=counting.stages)
    build(recipe(seed=5), tmp_path, stages=counting.stages)
    assert counting.ran == ["first", "second", "second"]


def test_a_stage_that_gives_the_same_result_spares_the_next(tmp_path: Path) -> None:
    counting = Counting()
    build(recipe(quantize={"kl_tokens": 1042}), tmp_path, stages=counting.stages)
    build(recipe(quantize={"kl_tokens": 2042}), tmp_path, stages=counting.stages)
    assert counting.ran == ["first", "second", "first"]
    build(recipe(quantize={"kl_tokens": 2043}), tmp_path, stages=counting.stages)
    assert counting.ran[3:] == ["first", "second"]
    assert json.loads((tmp_path / "second.json").read_text()) == 86


def test_a_lost_file_is_made_again(tmp_path: Path) -> None:
    counting = Counting()
    build(recipe(), tmp_path, stages=counting.stages)
    (tmp_path / "first.json").unlink()
    build(recipe(), tmp_path, stages=counting.stages)
    assert counting.ran == ["first", "second", "first"]


def test_an_interrupted_build_goes_on_where_it_was(tmp_path: Path) -> None:
    counting = Counting()
    counting.interrupt_second = True
    with pytest.raises(KeyboardInterrupt):
        build(recipe(), tmp_path, stages=counting.stages)
    counting.interrupt_second = False
    records = build(recipe(), tmp_path, stages=counting.stages)
    assert counting.ran == ["first", "second", "second"]
    assert records["second"].summary == "wrote 0"


def test_a_broken_record_means_not_done(tmp_path: Path) -> None:
    counting = Counting()
    build(recipe(), tmp_path, stages=counting.stages)
    (tmp_path / "stages" / "second.json").write_text("{")
    build(recipe(), tmp_path, stages=counting.stages)
    assert counting.ran == ["first", "second", "second"]


def test_every_record_says_how_it_was_made(tmp_path: Path) -> None:
    counting = Counting()
    build(recipe(seed=9), tmp_path, stages=counting.stages)
    made = json.loads((tmp_path / "stages" / "first.json").read_text())["made"]
    assert made["seed"] == 9
    assert {"phonelm", "machine", "made_at", "config", "wall_s"} <= set(made)


def test_what_would_end_a_later_stage_is_known_before_the_first(tmp_path: Path) -> None:
    counting = Counting()
    first, second = counting.stages

    def refuse(recipe: Recipe) -> None:
        raise ValueError(f"{recipe.name} has no text")

    with pytest.raises(ValueError, match="tiny has no text"):
        build(recipe(), tmp_path / "run", Lines(), [first, replace(second, check=refuse)])
    assert counting.ran == []
    assert not (tmp_path / "run").exists()
