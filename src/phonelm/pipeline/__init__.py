"""From a recipe to a running model: the stages, what each depends on, and what has to be done again."""

from phonelm.pipeline.build import build
from phonelm.pipeline.recipe import Recipe, load_recipe
from phonelm.pipeline.stage import StageRecord

__all__ = ["Recipe", "StageRecord", "build", "load_recipe"]
