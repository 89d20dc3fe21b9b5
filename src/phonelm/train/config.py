"""What a training run is told, and what it gives back."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from phonelm.ranges import INT32_MAX, INT64_MAX


class TrainConfig(BaseModel):
    """One stage of training: schedule, batch, optimizer, and how it reports.

    The learning rate rises over `warmup_steps`, stays, and falls over the last `decay_steps`, linearly or as
    half a cosine (warm-up, stable, decay: arXiv 2404.06395). A run that decays from its warm-up on is the
    usual cosine schedule.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    steps: int = Field(gt=0, le=INT32_MAX)
    """Optimizer steps of this run."""
    batch_size: int = Field(default=32, gt=0, le=INT32_MAX)
    """Sequences per step."""
    sequence_length: int = Field(default=256, gt=1, le=INT32_MAX)
    """Tokens a sequence; at most the decoder's context."""
    micro_batch_size: int | None = Field(default=None, gt=0, le=INT32_MAX)
    """Sequences in memory at a time (gradients add up to `batch_size`); `None`: the whole batch."""
    learning_rate: float = Field(default=1e-3, gt=0)
    warmup_steps: int = Field(default=0, ge=0, le=INT32_MAX)
    decay_steps: int = Field(default=0, ge=0, le=INT32_MAX)
    decay_shape: Literal["linear", "cosine"] = "linear"
    """How the learning rate falls."""
    final_learning_rate: float = Field(default=0.01, ge=0, le=1)
    """Share of the learning rate at the end of the decay."""
    weight_decay: float = Field(default=0.1, ge=0)
    """Decoupled, on matrices only."""
    betas: tuple[float, float] = (0.9, 0.95)
    adam_eps: float = Field(default=1e-8, gt=0)
    grad_clip: float = Field(default=1.0, gt=0)
    """Largest norm of the gradient over all parameters."""
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """Precision of the matrix products; `auto`: bfloat16 where the device computes in it."""
    device: str = "auto"
    """A torch device; `auto`: the accelerator where there is one, else the CPU."""
    compile: bool = False
    """Compile the model first: about half a minute on two cores, then about a tenth faster there."""
    lora_rank: int | None = Field(default=None, gt=0, le=4096)
    """Rank of the adapters that are trained in place of all weights, and merged at the end."""
    qat_steps: int = Field(default=0, ge=0, le=INT32_MAX)
    """Last steps in which the layers' matrices are rounded to q4_0 in each pass (quantization-aware)."""
    gradient_checkpointing: bool = False
    """Compute activations twice to keep fewer in memory."""
    num_threads: int | None = Field(default=None, gt=0, le=INT32_MAX)
    """CPU threads; `None`: torch's default."""
    seed: int = Field(default=0, ge=-INT64_MAX, le=INT64_MAX)
    log_every: int | None = Field(default=None, gt=0, le=INT32_MAX)
    """Steps a line of progress covers; `None`: a fortieth of the run."""
    validate_every: int | None = Field(default=None, gt=0, le=INT32_MAX)
    """Steps between validations (there is always one at the end); `None`: a quarter of the run."""
    valid_tokens: int = Field(default=65536, gt=0, le=INT32_MAX)
    """Tokens of the held-out part that a validation reads, from its start."""
    sample_prompts: tuple[str, ...] = ("def ", "The ")
    """Beginnings that the model continues after each validation."""
    sample_tokens: int = Field(default=48, ge=0, le=INT32_MAX)
    save_every_s: float = Field(default=60.0, gt=0)
    """Seconds between saves of the training state."""
    save_every_steps: int | None = Field(default=None, gt=0, le=INT32_MAX)
    """Steps between saves, beside `save_every_s`."""

    checkpoint_every_steps: int | None = Field(default=None, gt=0, le=INT32_MAX)
    """Steps between checkpoints that are kept, each a Hugging Face folder in `checkpoints/`; `None`: none."""
    keep_checkpoints: int | None = Field(default=None, gt=0, le=INT32_MAX)
    """How many of them, the last ones; `None`: all."""
    max_skipped_steps: int = Field(default=3, ge=0, le=INT32_MAX)
    """Steps in a row that may be left out because their loss or gradient is not finite."""

    @model_validator(mode="after")
    def _consistent(self) -> TrainConfig:
        if self.warmup_steps + self.decay_steps > self.steps:
            raise ValueError(
                f"warmup_steps {self.warmup_steps} + decay_steps {self.decay_steps} exceed steps {self.steps}"
            )
        if self.lora_rank and self.checkpoint_every_steps:
            raise ValueError("adapters are merged at the end; leave out checkpoint_every_steps or lora_rank")
        if self.qat_steps > self.steps:
            raise ValueError(f"qat_steps {self.qat_steps} exceed steps {self.steps}")
        if self.qat_steps and (self.compile or self.lora_rank):
            raise ValueError("compiled models and adapters are not rounded; leave out qat_steps")
        if self.micro_batch_size and self.batch_size % self.micro_batch_size:
            raise ValueError(
                f"batch_size {self.batch_size} is not a multiple of micro_batch_size {self.micro_batch_size}"
            )
        return self

    @property
    def tokens_per_step(self) -> int:
        """Tokens one optimizer step learns from."""
        return self.batch_size * self.sequence_length


class Sample(BaseModel):
    """A prompt and how the model continued it."""

    prompt: str
    text: str


class TrainResult(BaseModel):
    """What a finished run says of itself; also the content of `train.json`."""

    folder: Path
    """Hugging Face folder with the weights and the tokenizer."""
    steps: int
    tokens: int
    """Tokens learnt from in this run."""
    loss: float
    """Mean training loss, nats per token, of the last range of steps."""
    bits_per_byte: float
    """Of the held-out part."""
    tokens_per_s: float
    wall_s: float
    samples: list[Sample]
