"""What a run folder holds, read for the report."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from phonelm.files import read_json
from phonelm.profile import DeviceProfile
from phonelm.report.figures import Curve, Span
from phonelm.run_recipe import RECIPE_FILE, training_stages
from phonelm.search import Design

BEFORE_TRAINING, AFTER_TRAINING = ("profile", "search", "data"), ("quantize", "run")
"""Stages of every build, around those of training that the recipe names."""


@dataclass(frozen=True)
class RunFolder:
    """The documents of a finished run."""

    folder: Path
    recipe: dict[str, Any]
    device: DeviceProfile
    design: Design
    data: dict[str, Any]
    quantize: dict[str, Any]
    run: dict[str, Any]
    records: dict[str, dict[str, Any]]
    """By stage: what it said of itself, and how it was made."""
    stages: list[dict[str, Any]]
    """Name and settings of the stages of training, in their order."""
    logs: dict[str, list[dict[str, Any]]]
    """By stage of training, the lines of its log."""

    @classmethod
    def read(cls, folder: Path) -> RunFolder:
        """Read all documents. Raises `FileNotFoundError` naming the first that is not there."""
        stages = training_stages(folder)
        names = [stage["name"] for stage in stages]
        made = (*BEFORE_TRAINING, *names, *AFTER_TRAINING)
        return cls(
            folder=folder,
            recipe=read_json(folder / RECIPE_FILE),
            device=DeviceProfile.load(folder / "device.json"),
            design=Design.load(folder / "design.json"),
            data=read_json(folder / "data" / "data.json"),
            quantize=read_json(folder / "quantize.json"),
            run=read_json(folder / "run.json"),
            records={name: read_json(folder / "stages" / f"{name}.json") for name in made},
            stages=stages,
            logs={name: read_log(folder / name / "train.jsonl") for name in names},
        )

    @property
    def num_tokens(self) -> int:
        """Tokens trained on, all stages together."""
        return sum(tokens_per_step(stage) * stage["steps"] for stage in self.stages)

    def curve(self) -> Curve:
        """Loss of all stages of training on one axis of tokens, and where the learning rate falls."""
        train: list[tuple[float, float]] = []
        valid: list[tuple[float, float]] = []
        spans: list[Span] = []
        decays: list[tuple[float, float]] = []
        begin = 0
        for stage in self.stages:
            lines, tokens = self.logs[stage["name"]], tokens_per_step(stage)
            end = begin + tokens * stage["steps"]
            spans.append(Span(stage["name"], begin, end))
            if stage["decay_steps"]:
                decays.append((end - tokens * stage["decay_steps"], end))
            scale = _bits_per_byte_of_a_nat(lines)
            for line in lines:
                at = begin + tokens * line["step"]
                if line["kind"] == "train":
                    train.append((at, line["loss"] * scale))
                elif line["kind"] == "valid":
                    valid.append((at, line["bits_per_byte"]))
            begin = end
        return Curve(train, valid, spans, decays)

    def last(self, kind: str) -> dict[str, Any] | None:
        """The last line of a kind in the log of the last stage of training."""
        lines = self.logs[self.stages[-1]["name"]]
        return next((line for line in reversed(lines) if line["kind"] == kind), None)


def tokens_per_step(stage: dict[str, Any]) -> int:
    """Tokens that one optimizer step of a stage of training learns from."""
    return int(stage["batch_size"] * stage["sequence_length"])


def _bits_per_byte_of_a_nat(lines: list[dict[str, Any]]) -> float:
    """Training losses are in nats per token; a validation has both, and so the factor to bits per byte."""
    for line in reversed(lines):
        if line["kind"] == "valid" and line["loss"] > 0:
            return float(line["bits_per_byte"] / line["loss"])
    return 1.0


def read_log(path: Path) -> list[dict[str, Any]]:
    """JSON lines of a file; empty where there is none."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
