"""Trains one shape of a study, and the table of what came out."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from phonelm.arch.arithmetic import count_parameters
from phonelm.files import read_json, write_json, write_text
from phonelm.progress import Progress
from phonelm.search.quality.study import PlannedRun, StudyConfig
from phonelm.search.shapes import ACTIVATIONS, Shapes
from phonelm.train.config import TrainConfig

RECORD_FILE = "run.json"
_REFERENCE_WIDTH = 128
_WARMUP, _DECAY = 0.05, 0.25


class RunRecord(BaseModel):
    """A finished training: a row of the table."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    params: int
    """The size it stands for; `total` is what it has."""
    tokens: int
    seed: int
    vocab_size: int
    hidden: int
    layers: int
    head_dim: int
    heads: int
    kv_heads: int
    intermediate: int
    ffn: str
    activation: str
    tied: bool
    total: int
    non_embedding: int
    nats_per_byte: float
    """Held-out loss over the bytes of the text, so that tokenizers can be compared."""
    wall_s: float

    @property
    def shape(self) -> tuple[int | str, ...]:
        """What two trainings of one shape have in common."""
        sizes = (self.hidden, self.layers, self.head_dim, self.heads, self.kv_heads, self.intermediate)
        return (self.params, self.vocab_size, *sizes, self.ffn, self.activation, self.tied)


@dataclass(frozen=True)
class Task:
    """A training with all it needs; picklable, so that it may run on another machine."""

    run: PlannedRun
    config: TrainConfig
    data_folder: Path
    folder: Path


def make_task(study: StudyConfig, run: PlannedRun, out: Path, num_threads: int) -> Task:
    """How the study trains one of its shapes: the schedule is the same share of steps for all."""
    steps = run.tokens // study.step_tokens
    config = TrainConfig(
        steps=steps,
        batch_size=study.batch_size,
        sequence_length=study.sequence_length,
        learning_rate=study.learning_rate * _REFERENCE_WIDTH / run.decoder.hidden_size,
        warmup_steps=round(_WARMUP * steps),
        decay_steps=round(_DECAY * steps),
        dtype=study.dtype,
        num_threads=num_threads,
        seed=run.seed,
        validate_every=steps,
        valid_tokens=study.valid_tokens,
        sample_tokens=0,
        save_every_s=30,
    )
    return Task(run, config, out / "data", out / "runs" / run.name)


def finished_run(task: Task) -> RunRecord | None:
    """What an earlier start of the study left of this training, if that came to its end."""
    path = task.folder / RECORD_FILE
    if not path.exists():
        return None
    try:
        return RunRecord.model_validate(read_json(path))
    except ValidationError as error:
        raise ValueError(f"{path} is of another version; delete it to train this shape again") from error


def train_run(task: Task) -> RunRecord:
    """Train to the end, resuming from the last save; what is only needed for that is removed afterwards.

    Raises `ValueError` for a data folder that this machine does not have.
    """
    from phonelm.train import train

    if not task.data_folder.exists():
        raise ValueError(f"{task.data_folder} is not there; put the study on a disk that all machines share")
    result = train(task.config, task.run.decoder, task.data_folder, task.folder, progress=Progress())
    record = make_record(task.run, result.bits_per_byte * math.log(2), result.wall_s)
    write_json(task.folder / RECORD_FILE, record.model_dump(mode="json"))
    for path in task.folder.iterdir():
        if path.suffix in (".pt", ".safetensors"):
            path.unlink()
    return record


def make_record(run: PlannedRun, nats_per_byte: float, wall_s: float) -> RunRecord:
    """The row of a training that ended with this held-out loss."""
    decoder, count = run.decoder, count_parameters(run.decoder)
    mixer, ffn = decoder.layers[0].mixer, decoder.layers[0].ffn
    return RunRecord(
        name=run.name,
        params=run.params,
        tokens=run.tokens,
        seed=run.seed,
        vocab_size=decoder.vocab_size,
        hidden=decoder.hidden_size,
        layers=decoder.num_layers,
        head_dim=mixer.head_dim,
        heads=mixer.num_heads,
        kv_heads=mixer.num_kv_heads,
        intermediate=ffn.intermediate_size,
        ffn="gated" if ffn.gated else "plain",
        activation=ffn.activation,
        tied=decoder.head.tied,
        total=count.total,
        non_embedding=count.total - count.embedding,
        nats_per_byte=round(nats_per_byte, 6),
        wall_s=round(wall_s, 1),
    )


def shapes_of_runs(records: Sequence[RunRecord]) -> Shapes:
    """The shapes of a table, in its order. Raises `ValueError` when the vocabularies differ."""
    vocabularies = {record.vocab_size for record in records}
    if len(vocabularies) != 1:
        raise ValueError(f"the runs have vocabularies of {sorted(vocabularies)}; they cannot be compared")
    sizes = ("hidden", "layers", "head_dim", "heads", "kv_heads", "intermediate")
    return Shapes(
        vocabularies.pop(),
        gated=np.array([record.ffn == "gated" for record in records]),
        activation=np.array([ACTIVATIONS.index(record.activation) for record in records], dtype=np.int8),
        tied=np.array([record.tied for record in records]),
        **{name: np.array([getattr(r, name) for r in records], dtype=np.int32) for name in sizes},
    )


def write_table(records: Iterable[RunRecord], path: Path) -> None:
    """Write the table as CSV."""
    text = StringIO()
    writer = csv.DictWriter(text, RunRecord.model_fields, lineterminator="\n")
    writer.writeheader()
    writer.writerows(record.model_dump(mode="json") for record in records)
    write_text(path, text.getvalue())


def read_table(text: str, name: str) -> list[RunRecord]:
    """Read what `write_table` wrote. Raises `ValueError` naming `name` and the row that is broken."""
    records = []
    for number, row in enumerate(csv.DictReader(text.splitlines()), 2):
        try:
            records.append(RunRecord.model_validate(row))
        except ValidationError as error:
            raise ValueError(
                f"{name} line {number} is no row of a table of runs; correct or remove it"
            ) from error
    return records
