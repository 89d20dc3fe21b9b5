"""What a run folder holds, read for the report."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from phonelm.files import read_json
from phonelm.profile import DeviceProfile
from phonelm.report.figures import Curve
from phonelm.search import Design

STAGES = ("profile", "search", "data", "stable", "decay", "quantize", "run")
TRAINING = ("stable", "decay")


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
    training: dict[str, list[dict[str, Any]]]
    """By training stage, the lines of its log."""

    @classmethod
    def read(cls, folder: Path) -> RunFolder:
        """Read all documents. Raises `FileNotFoundError` naming the first that is not there."""
        return cls(
            folder=folder,
            recipe=read_json(folder / "recipe.json"),
            device=DeviceProfile.load(folder / "device.json"),
            design=Design.load(folder / "design.json"),
            data=read_json(folder / "data" / "data.json"),
            quantize=read_json(folder / "quantize.json"),
            run=read_json(folder / "run.json"),
            records={name: read_json(folder / "stages" / f"{name}.json") for name in STAGES},
            training={name: read_log(folder / name / "train.jsonl") for name in TRAINING},
        )

    def curve(self) -> Curve:
        """Loss of both training stages on one axis of tokens."""
        train: list[tuple[float, float]] = []
        valid: list[tuple[float, float]] = []
        offset = 0.0
        decay_begins = None
        for name in TRAINING:
            config, lines = self.recipe["train"][name], self.training[name]
            tokens = config["batch_size"] * config["sequence_length"]
            if name == "decay":
                decay_begins = offset
            scale = _bits_per_byte_of_a_nat(lines)
            for line in lines:
                at = offset + tokens * line["step"]
                if line["kind"] == "train":
                    train.append((at, line["loss"] * scale))
                elif line["kind"] == "valid":
                    valid.append((at, line["bits_per_byte"]))
            offset += tokens * config["steps"]
        return Curve(train, valid, decay_begins)

    def last(self, kind: str, stage: str = "decay") -> dict[str, Any] | None:
        """The last line of a kind in a training stage's log."""
        return next((line for line in reversed(self.training[stage]) if line["kind"] == kind), None)

    def training_samples(self) -> list[dict[str, Any]]:
        """What the model wrote at the end of each training stage."""
        samples = []
        for stage in TRAINING:
            lines = [line for line in self.training[stage] if line["kind"] == "sample"]
            last = max((line["step"] for line in lines), default=None)
            samples += [{"stage": stage, **line} for line in lines if line["step"] == last]
        return samples


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
