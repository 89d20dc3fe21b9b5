from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from phonelm.files import write_json
from phonelm.run_recipe import training_stages


def test_stages_come_in_the_recipes_order(tmp_path: Path) -> None:
    stages = [{"name": "b", "steps": 2}, {"name": "a", "steps": 1}]
    write_json(tmp_path / "recipe.json", {"train": stages})
    assert training_stages(tmp_path) == stages


@pytest.mark.parametrize("recipe", [{"train": {"stable": {}, "decay": {}}}, {"train": ["a"]}, {}, []])
def test_a_recipe_of_another_form_says_what_to_do(tmp_path: Path, recipe: Any) -> None:
    write_json(tmp_path / "recipe.json", recipe)
    with pytest.raises(ValueError, match=r"recipe\.json has no list of stages .* build its recipe again"):
        training_stages(tmp_path)


def test_a_folder_without_a_recipe_is_told(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"recipe\.json"):
        training_stages(tmp_path)
