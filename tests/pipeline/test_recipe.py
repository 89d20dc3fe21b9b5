from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from phonelm.pipeline import Recipe, load_recipe
from phonelm.train.config import TrainConfig

NANO = Path(__file__).parents[2] / "recipes" / "nano.yaml"

MINIMAL: dict[str, Any] = {
    "name": "tiny",
    "search": {"params": "400k", "vocab_size": 512, "context_length": 256},
    "train": [
        {"name": "stable", "steps": 10, "learning_rate": 0.002, "warmup_steps": 2, "sequence_length": 64},
        {"name": "decay", "steps": 4, "decay_steps": 4},
    ],
}


def write(folder: Path, text: str) -> Path:
    path = folder / "recipe.yaml"
    path.write_text(text)
    return path


def test_the_shipped_recipe_is_valid() -> None:
    recipe = load_recipe(NANO)
    assert recipe.name == "nano"
    assert recipe.data.vocab_size == recipe.search.vocab_size


def test_a_stage_takes_what_it_leaves_out_from_the_one_before_it() -> None:
    further = {"name": "third", "steps": 3, "sequence_length": 32}
    first, second, third = Recipe.model_validate({**MINIMAL, "train": [*MINIMAL["train"], further]}).train
    assert first.learning_rate == second.learning_rate == third.learning_rate == 0.002
    assert [stage.sequence_length for stage in (first, second, third)] == [64, 64, 32]
    assert (second.steps, second.decay_steps, second.warmup_steps) == (4, 4, 0)
    assert (third.name, third.steps, third.decay_steps, third.warmup_steps) == ("third", 3, 0, 0)


def test_a_stage_of_another_kind_begins_with_its_own_settings(tmp_path: Path) -> None:
    talk = {"name": "talk", "kind": "instruct", "steps": 3, "chats": {"sources": ["chats.jsonl", "hf:a/b"]}}
    more = {"name": "more", "steps": 1}
    path = write(tmp_path, json.dumps({**MINIMAL, "seed": 5, "train": [*MINIMAL["train"], talk, more]}))
    *_, stage, last = load_recipe(path).train
    assert stage.learning_rate == TrainConfig(steps=1).learning_rate
    assert (stage.seed, last.seed, last.learning_rate) == (5, 5, 0.002)
    assert stage.chats is not None
    assert stage.chats.sources == (str(tmp_path / "chats.jsonl"), "hf:a/b")


def test_the_loop_is_told_all_of_a_stage_but_its_name() -> None:
    stage = Recipe.model_validate(MINIMAL).last_stage
    assert stage.name == "decay"
    assert type(stage.settings) is TrainConfig
    own = {"name": "decay", "kind": "pretrain", "chats": None}
    assert {**own, **stage.settings.model_dump()} == stage.model_dump()
    # As written by hand: what a run folder's training is known by does not depend on the recipe's form.
    by_hand = TrainConfig(steps=4, decay_steps=4, learning_rate=0.002, sequence_length=64)
    assert stage.settings == by_hand


@pytest.mark.parametrize(
    ("stages", "words"),
    [
        ([], "train: must be a list of stages"),
        ({"stable": {"steps": 10}, "decay": {"steps": 4}}, "train: must be a list .* `- name: NAME`"),
        ([{"stable": {"steps": 10}}], "train.0 has no name; begin that stage with `- name: NAME`"),
        ([{"name": "a", "steps": 1}, {"steps": 1}], "train.1 has no name"),
        (["a"], "train.0 has no name"),
        ([{"name": "a", "steps": 1}, {"name": "A", "steps": 1}], "train: two stages have the name `a`"),
        ([{"name": "a/b", "steps": 1}], "train.0.name: `a/b` names no folder"),
        ([{"name": "a\nb", "steps": 1}], r"train.0.name: `a\\nb` names no folder"),
        ([{"name": "..", "steps": 1}], "train.0.name: `..` names no folder"),
        ([{"name": "run.json", "steps": 1}], "train.0.name: .* names no folder"),
        ([{"name": "Data", "steps": 1}], "train.0.name: the run folder holds a `Data` already"),
        ([{"name": 3, "steps": 1}], "train.0.name: .*string"),
        ([{"name": "a"}], "`train.0.steps` is missing"),
        ([{"name": "a", "steps": 1}, {"name": "b"}], "`train.1.steps` is missing"),
        ([{"name": "a", "steps": 4, "decay_steps": 5}], "train.0: .*exceed steps 4"),
        ([{"name": "a", "steps": 1, "kind": "chat"}], "train.0 is of the kind chat; begin with .* pretrain"),
        (
            [{"name": "a", "steps": 1}, {"name": "b", "steps": 1, "kind": "instruct"}],
            "`b` is of the kind instruct; conversations, as `chats: {sources: .FILE.}`",
        ),
        ([{"name": "a", "steps": 1, "chats": {"sources": ["x"]}}], "`a` is of the kind pretrain"),
        ([{"name": "a", "steps": 1, "sequence_length": 999}], r"train\.a\.sequence_length 999 exceeds"),
    ],
)
def test_mistakes_in_the_list_of_stages_are_one_line(tmp_path: Path, stages: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words) as caught:
        load_recipe(write(tmp_path, json.dumps({**MINIMAL, "train": stages})))
    assert "\n" not in str(caught.value)


def test_the_seed_and_the_vocabulary_are_said_once() -> None:
    recipe = Recipe.model_validate({**MINIMAL, "seed": 7})
    assert (recipe.data.seed, *[stage.seed for stage in recipe.train]) == (7, 7, 7)
    own = [{"seed": 5, **MINIMAL["train"][0]}, *MINIMAL["train"][1:]]
    assert [stage.seed for stage in Recipe.model_validate({**MINIMAL, "seed": 7, "train": own}).train] == [
        5,
        5,
    ]
    assert recipe.data.vocab_size == 512


def test_a_resolved_recipe_is_a_recipe() -> None:
    recipe = Recipe.model_validate({**MINIMAL, "seed": 7})
    assert Recipe.model_validate(recipe.model_dump(mode="json")) == recipe
    assert Recipe.model_validate({**MINIMAL, "seed": 7, "train": recipe.train}) == recipe


def test_the_command_line_may_name_another_corpus(tmp_path: Path) -> None:
    assert load_recipe(NANO, data=str(tmp_path)).data.source == str(tmp_path)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("params:", "parms:", "unknown key `search.parms`; did you mean `params`"),
        (
            "  - name: stable\n    steps:",
            "  - name: stable\n    step:",
            "unknown key `train.0.step`; did you mean `steps`",
        ),
        ("quantize:", "quantise:", "unknown key `quantise`; did you mean `quantize`"),
        ("    layers:", "    leyers:", "unknown key `search.space.leyers`; did you mean `layers`"),
        ("name: nano", "seed: 1", "`name` is missing"),
        ("name: nano", "name: a/b", "name: "),
        ("params: 4.72M", "params: lots", "search.params: .*number of parameters"),
        ("sequence_length: 256", "sequence_length: 4096", "exceeds search.context_length"),
        ("prompt_tokens: 128", "prompt_tokens: 500", "do not fit"),
        ("source: python-stdlib", "vocab_size: 999", "leave the former out"),
        ("name: nano", "name: [", "is not YAML"),
    ],
)
def test_mistakes_are_one_line_that_names_the_place(tmp_path: Path, old: str, new: str, words: str) -> None:
    text = NANO.read_text()
    assert old in text
    with pytest.raises(ValueError, match=words) as caught:
        load_recipe(write(tmp_path, text.replace(old, new, 1)))
    assert "\n" not in str(caught.value)


def test_a_file_that_holds_no_mapping_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="holds no recipe"):
        load_recipe(write(tmp_path, "just words"))


def test_a_missing_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        load_recipe(tmp_path / "none.yaml")


def test_files_are_named_as_seen_from_the_recipe(tmp_path: Path) -> None:
    folder = tmp_path / "recipes"
    folder.mkdir()
    (folder / "space.yaml").write_text("head_dim: [32]\n")
    text = NANO.read_text()
    start, end = text.index("  space:"), text.index("# Text to tokens")
    text = text[:start] + "  space: space.yaml\n  predictor: p.json\n" + text[end:]
    path = write(
        folder, text.replace("source: python-stdlib", "source: [../notes, hf:a/b, /x, python-stdlib]")
    )
    recipe = load_recipe(path)
    assert recipe.search.predictor == str(folder / "p.json")
    assert recipe.search.space.head_dim == [32]
    assert recipe.data.source == (str(folder / "../notes"), "hf:a/b", "/x", "python-stdlib")
    # Of the command line, as seen from where it is typed.
    assert load_recipe(path, data="notes").data.source == "notes"
