"""What a run folder's `recipe.json` says of its training, for those who read a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from phonelm.files import read_json

RECIPE_FILE = "recipe.json"


def training_stages(run: Path) -> list[dict[str, Any]]:
    """The stages of training in their order: each one's `name`, which is its folder's too, and settings.

    Raises `FileNotFoundError` where there is no recipe, `ValueError` for one of another form.
    """
    recipe = read_json(run / RECIPE_FILE)
    stages = recipe.get("train") if isinstance(recipe, dict) else None
    if not isinstance(stages, list) or not all(isinstance(s, dict) and "name" in s for s in stages):
        raise ValueError(
            f"{run / RECIPE_FILE} has no list of stages under `train`, as those of earlier versions; "
            "build its recipe again, which keeps what is trained"
        )
    return stages
