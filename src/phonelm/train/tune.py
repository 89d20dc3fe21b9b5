"""Tuning a base model on conversations: its folder, the data, and the loop of every stage."""

from __future__ import annotations

import math
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from phonelm.data.config import ConversationsConfig
from phonelm.progress import Progress
from phonelm.ranges import INT32_MAX, INT64_MAX
from phonelm.train.config import TrainConfig, TrainResult
from phonelm.train.distillation import Distillation
from phonelm.train.loop import train
from phonelm.train.prepare_conversations import prepare_conversations
from phonelm.train.start import check_trainable

PROMPTS = ("What can you help me with?", "Write a short thank-you note to a neighbour.")


class TuneConfig(BaseModel):
    """How long and how strongly a base model is tuned."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    epochs: float = Field(default=1.0, gt=0, le=1000)
    """How often each conversation is learnt from."""
    batch_size: int = Field(default=4, gt=0, le=INT32_MAX)
    """Rows of conversations per step."""
    sequence_length: int = Field(default=1024, gt=1, le=INT32_MAX)
    """Tokens a row; longer conversations lose their end."""
    learning_rate: float = Field(default=2e-5, gt=0)
    teacher_share: float = Field(default=0.5, ge=0, le=1)
    """Of a teacher's probabilities in what is learnt; the rest is the text itself."""
    warmup_fraction: float = Field(default=0.03, ge=0, le=0.5)
    """Share of the steps in which the learning rate rises."""
    prompts: tuple[str, ...] = PROMPTS
    """Answered after each validation."""
    qat_fraction: float = Field(default=0.0, ge=0, le=1)
    """Share of the steps, the last ones, with weights rounded to q4_0 in each pass."""
    lora_rank: int | None = Field(default=None, gt=0, le=4096)
    """Rank of adapters that are trained in place of all weights, and merged at the end."""
    micro_batch_size: int | None = Field(default=None, gt=0, le=INT32_MAX)
    num_threads: int | None = Field(default=None, gt=0, le=INT32_MAX)
    seed: int = Field(default=0, ge=0, le=INT64_MAX)

    def training(self, num_rows: int) -> TrainConfig:
        """The stage for so many rows: warm-up, then a linear decay to the end."""
        steps = max(1, math.ceil(self.epochs * num_rows / self.batch_size))
        warmup_steps = min(steps - 1, math.ceil(self.warmup_fraction * steps))
        return TrainConfig(
            steps=steps,
            batch_size=self.batch_size,
            sequence_length=self.sequence_length,
            micro_batch_size=self.micro_batch_size,
            learning_rate=self.learning_rate,
            warmup_steps=warmup_steps,
            decay_steps=steps - warmup_steps,
            weight_decay=0.0,
            lora_rank=self.lora_rank,
            qat_steps=round(self.qat_fraction * steps),
            sample_prompts=self.prompts,
            num_threads=self.num_threads,
            save_every_s=300,
            seed=self.seed,
        )


def tune_instruct(
    config: TuneConfig,
    chats: ConversationsConfig,
    base: Path,
    out_folder: Path,
    progress: Progress,
    teacher: Path | None = None,
) -> TrainResult:
    """Tune the model of the Hugging Face folder `base` on conversations; `out_folder` becomes one of its own.

    With a `teacher`, a larger model's folder, that one's probabilities are learnt too (`teacher_share`). The
    tokens lie in `out_folder/data`. Stopped runs go on with the same arguments. Raises `ValueError` as
    `prepare_conversations` and `train` do.
    """
    for folder in filter(None, (base, teacher)):
        check_trainable(folder)
    data_folder = out_folder / "data"
    manifest = prepare_conversations(chats, base, data_folder, progress)
    rows = manifest.rows(data_folder, "train", config.sequence_length)
    objective = Distillation(teacher, config.teacher_share) if teacher else None
    training = config.training(len(rows))
    return train(training, base, data_folder, out_folder, objective=objective, progress=progress)
