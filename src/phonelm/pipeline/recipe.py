"""A recipe: everything a build needs to know, in one YAML file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from phonelm.data import DataConfig
from phonelm.data.config import STDLIB
from phonelm.pipeline.training import StageConfig, filled_stages
from phonelm.profile import ProfileConfig
from phonelm.search import SearchConfig
from phonelm.validation import explain

DEFAULTS = {"vocab_size": 4096, "block_type": "q4_0", "head_type": "q8_0"}
"""Of the search's settings that a build needs one of each: the space may hold several."""


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class QuantizeSection(_Section):
    """How the checkpoint becomes `model.gguf` is the search's `block_type` and `head_type`."""

    kl_tokens: int = Field(default=2000, gt=1)
    """Held-out tokens on which the file is compared with the float32 checkpoint."""


class RunSection(_Section):
    """What the runtime shows of the finished model."""

    prompts: list[str] = Field(default=["def main(", "The function returns", "import os"], min_length=1)
    max_tokens: int = Field(default=64, gt=0)
    temperature: float = Field(default=0.7, ge=0)
    top_p: float = Field(default=0.95, gt=0, le=1)
    rounds: int = Field(default=3, gt=0)
    """Processes that time the model one after the other; the fastest counts, as with the profile's repeats:
    what else runs on a machine, or beside it on the same host, only ever adds time."""
    repeats: int = Field(default=25, gt=0)
    """Timed runs, of which the median counts."""


class Recipe(_Section):
    """All stages of a build. Raises `ValueError` (pydantic's `ValidationError`) where sections contradict."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    """Names the run folder, `runs/<name>`."""
    seed: int = 0
    """Of every stage that does not name its own."""
    profile: ProfileConfig = ProfileConfig()
    search: SearchConfig
    data: DataConfig = DataConfig()
    train: tuple[StageConfig, ...]
    """In their order, at least one; the last one's checkpoint is quantized."""
    quantize: QuantizeSection = QuantizeSection()
    run: RunSection = RunSection()

    @model_validator(mode="before")
    @classmethod
    def _shared_settings(cls, value: Any) -> Any:
        """The vocabulary, the quantization types and the seed are said once and hold everywhere."""
        if not isinstance(value, dict):
            return value
        value = {**value}
        if isinstance(value.get("search"), dict):
            _share(value, "search", DEFAULTS)
            search = value["search"]
            _share(value, "profile", {k: search[k] for k in ("block_type", "head_type")})
            _share(value, "data", {"vocab_size": search["vocab_size"]})
        if "seed" in value:
            _share(value, "data", {"seed": value["seed"]})
            _seed_stages(value)
        return value

    @field_validator("train", mode="before")
    @classmethod
    def _each_from_the_one_before(cls, value: Any) -> Any:
        return filled_stages(value)

    @field_validator("train")
    @classmethod
    def _differ_in_name(cls, stages: tuple[StageConfig, ...]) -> tuple[StageConfig, ...]:
        # Some file systems take names that differ in case only for one.
        names = [stage.name.lower() for stage in stages]
        if twice := [name for name in names if names.count(name) > 1]:
            raise ValueError(f"two stages have the name `{twice[0]}`; rename one")
        return stages

    @model_validator(mode="after")
    def _agree(self) -> Recipe:
        if self.data.vocab_size != self.search.vocab_size:
            raise ValueError(
                f"data.vocab_size {self.data.vocab_size} differs from search.vocab_size "
                f"{self.search.vocab_size}; leave the former out"
            )
        for name in ("block_type", "head_type"):
            if getattr(self.profile, name) != getattr(self.search, name):
                raise ValueError(f"profile.{name} and search.{name} differ; leave the former out")
        for stage in self.train:
            if stage.sequence_length > self.search.context_length:
                raise ValueError(
                    f"train.{stage.name}.sequence_length {stage.sequence_length} exceeds "
                    f"search.context_length {self.search.context_length}; lower the former"
                )
        if any(getattr(self.search, name) is None for name in DEFAULTS):
            raise ValueError(
                f"search.{', search.'.join(DEFAULTS)} must say something; leave out what is null"
            )
        self.search.request  # noqa: B018  refuses a prompt and answer that do not fit the context
        self.search.narrowed_space  # noqa: B018  refuses what is kept outside the space
        return self

    @property
    def last_stage(self) -> StageConfig:
        """The stage of training whose checkpoint is the finished one."""
        return self.train[-1]


def _share(document: dict[str, Any], name: str, defaults: dict[str, Any]) -> None:
    """Put `defaults` under what the section says itself."""
    section = document.get(name, {})
    if isinstance(section, dict):
        document[name] = {**defaults, **section}


def _seed_stages(document: dict[str, Any]) -> None:
    """The first of each kind; the others take it from there."""
    stages = document.get("train")
    if not isinstance(stages, list | tuple):
        return
    seeded: list[Any] = []
    kinds: set[str] = set()
    for stage in stages:
        kind = str(stage.get("kind")) if isinstance(stage, dict) else ""
        seeded.append(stage if kind in kinds or not kind else {"seed": document["seed"], **stage})
        kinds.add(kind)
    document["train"] = seeded


def load_recipe(path: Path | str, *, data: str | None = None) -> Recipe:
    """Read a recipe from YAML; `data` replaces the corpus it names (a path, or `hf:NAME`).

    Relative paths in the recipe are relative to its folder, `data` to the working folder.

    Raises `ValueError` with one line for what is not YAML or not a recipe, `FileNotFoundError` for no file.
    """
    import yaml

    path = Path(path)
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not YAML ({str(error).splitlines()[0]}); correct it") from error
    if not isinstance(document, dict):
        raise ValueError(f"{path} holds no recipe; see recipes/nano.yaml for one")
    _name_files_from(path.parent, document)
    if data is not None:
        document["data"] = {**(document.get("data") or {}), "source": data}
    try:
        return Recipe.model_validate(document)
    except ValidationError as error:
        raise ValueError(explain(str(path), Recipe, error)) from error


def _name_files_from(folder: Path, document: dict[str, Any]) -> None:
    """Make the files that a recipe names relative to its folder ones of the working folder."""
    for section, keys in (("search", ("space", "predictor")), ("data", ("source",))):
        if isinstance(document.get(section), dict):
            named = {key: document[section][key] for key in keys if key in document[section]}
            found = {key: _seen_from(folder, value) for key, value in named.items()}
            document[section] = {**document[section], **found}
    if isinstance(document.get("train"), list):
        document["train"] = [_chats_from(folder, stage) for stage in document["train"]]


def _chats_from(folder: Path, stage: Any) -> Any:
    chats = stage.get("chats") if isinstance(stage, dict) else None
    if not isinstance(chats, dict) or "sources" not in chats:
        return stage
    return {**stage, "chats": {**chats, "sources": _seen_from(folder, chats["sources"])}}


def _seen_from(folder: Path, value: Any) -> Any:
    if isinstance(value, list):
        return [_seen_from(folder, one) for one in value]
    if not isinstance(value, str) or not value or value == STDLIB or value.startswith("hf:"):
        return value
    return str(folder / Path(value).expanduser())
