"""The stages of training of a recipe: what each is told, and what it takes from the one before."""

from __future__ import annotations

import re
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from phonelm.data.config import ConversationsConfig
from phonelm.train.config import TrainConfig
from phonelm.words import printable

OWN = frozenset({"name", "kind", "chats", "steps", "warmup_steps", "decay_steps", "qat_steps"})
"""Of a stage's settings those that the next stage does not take over."""
TAKEN = frozenset({"profile", "search", "data", "quantize", "run", "report", "stages"})
"""What else a run folder holds a stage's record or a folder of; names of files have a dot."""


class _Named(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(max_length=64)
    """Of the stage, and of its folder in the run folder."""


class StageConfig(TrainConfig, _Named):
    """A stage of training. What it leaves out, but for `OWN`, it takes from the last stage of its kind."""

    kind: Literal["pretrain", "instruct"] = "pretrain"
    """`pretrain` goes on with the recipe's text, `instruct` begins to learn answers in conversations."""
    chats: ConversationsConfig | None = None
    """The conversations of an `instruct` stage."""

    @field_validator("name")
    @classmethod
    def _is_a_free_folder(cls, name: str) -> str:
        if not re.fullmatch("[A-Za-z0-9][A-Za-z0-9_-]*", name):
            raise ValueError(
                f"`{printable(name)}` names no folder; write letters, digits, - and _, not - or _ first"
            )
        if name.lower() in TAKEN:
            raise ValueError(f"the run folder holds a `{name}` already; name the stage otherwise")
        return name

    @model_validator(mode="after")
    def _has_what_it_learns_from(self) -> StageConfig:
        if (self.kind == "instruct") != (self.chats is not None):
            raise ValueError(
                f"stage `{self.name}` is of the kind {self.kind}; conversations, as "
                "`chats: {sources: [FILE]}`, are for `kind: instruct`, which needs them"
            )
        return self

    @property
    def settings(self) -> TrainConfig:
        """What the training loop is told: a renamed stage has the same."""
        return TrainConfig.model_validate(self.model_dump(exclude={"name", "kind", "chats"}))


def filled_stages(value: Any) -> list[dict[str, Any]]:
    """Each stage of a list with what it takes from the last one of its kind before it.

    Raises `ValueError` for what is no list of stages, or begins with another kind than `pretrain`.
    """
    if not isinstance(value, list | tuple) or not value:
        raise ValueError("must be a list of stages in their order, each `- name: NAME` and its settings")
    filled: list[dict[str, Any]] = []
    before: dict[Any, dict[str, Any]] = {}
    for place, stage in enumerate(map(_as_mapping, value)):
        if "name" not in stage:
            raise ValueError(f"train.{place} has no name; begin that stage with `- name: NAME`")
        kind = str(stage.get("kind", "pretrain"))
        if not filled and kind != "pretrain":
            raise ValueError(f"train.0 is of the kind {kind}; begin with a stage of the kind pretrain")
        filled.append({**before.get(kind, {}), **stage})
        before[kind] = {key: entry for key, entry in filled[-1].items() if key not in OWN}
    return filled


def _as_mapping(stage: Any) -> dict[str, Any]:
    """A stage as it is written, or as an object; what is neither names nothing."""
    return dict(stage) if isinstance(stage, dict | StageConfig) else {}
