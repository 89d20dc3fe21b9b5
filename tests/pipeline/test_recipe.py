from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from phonelm.pipeline import Recipe, load_recipe

NANO = Path(__file__).parents[2] / "recipes" / "nano.yaml"

MINIMAL: dict[str, Any] = {
    "name": "tiny",
    "search": {"params": "400k", "vocab_size": 512, "context_length": 256},
    "train": {
        "stable": {"steps": 10, "learning_rate": 0.002, "warmup_steps": 2, "sequence_length": 64},
        "decay": {"steps": 4},
    },
}


def write(folder: Path, text: str) -> Path:
    path = folder / "recipe.yaml"
    path.write_text(text)
    return path


def test_the_shipped_recipe_is_valid() -> None:
    recipe = load_recipe(NANO)
    assert recipe.name == "nano"
    assert recipe.data.vocab_size == recipe.search.vocab_size


def test_decay_takes_what_it_leaves_out_from_stable() -> None:
    train = Recipe.model_validate(MINIMAL).train
    assert train.decay.learning_rate == train.stable.learning_rate == 0.002
    assert (train.decay.steps, train.decay.decay_steps, train.decay.warmup_steps) == (4, 4, 0)


def test_the_seed_and_the_vocabulary_are_said_once() -> None:
    recipe = Recipe.model_validate({**MINIMAL, "seed": 7})
    assert (recipe.data.seed, recipe.train.stable.seed, recipe.train.decay.seed) == (7, 7, 7)
    assert recipe.data.vocab_size == 512


def test_a_resolved_recipe_is_a_recipe() -> None:
    recipe = Recipe.model_validate({**MINIMAL, "seed": 7})
    assert Recipe.model_validate(recipe.model_dump(mode="json")) == recipe


def test_the_command_line_may_name_another_corpus(tmp_path: Path) -> None:
    assert load_recipe(NANO, data=str(tmp_path)).data.source == str(tmp_path)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("params:", "parms:", "unknown key `search.parms`; did you mean `params`"),
        (
            "  stable:\n    steps:",
            "  stable:\n    step:",
            "unknown key `train.stable.step`; did you mean `steps`",
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
