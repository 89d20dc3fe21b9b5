"""A run in progress: its model, its place in the data, its steps, reports and saves."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from phonelm.arch import DecoderConfig
from phonelm.data import DataManifest
from phonelm.data.batches import PackedRows, batch_indices
from phonelm.data.tokenizer import token_bytes
from phonelm.files import provenance, remove_leftovers, write_json
from phonelm.progress import Progress
from phonelm.train.adapters import add_adapters, merge_adapters
from phonelm.train.batch import Batch
from phonelm.train.checkpoint import save_checkpoint, set_token_ids
from phonelm.train.config import Sample, TrainConfig, TrainResult
from phonelm.train.device import choose_device, choose_dtype, compile_decoder
from phonelm.train.interrupt import Interrupt
from phonelm.train.kept import drop_checkpoints, keep_checkpoint
from phonelm.train.log import RunLog
from phonelm.train.objective import Objective
from phonelm.train.optimizer import make_optimizer, set_learning_rate
from phonelm.train.packed_attention import attend_within_documents
from phonelm.train.rounding import train_rounded
from phonelm.train.schedule import learning_rate
from phonelm.train.start import Beginning, make_model
from phonelm.train.state import STATE_FILE, Counters, apply_state, load_state, save_state
from phonelm.train.validate import validate, write_samples

RESULT_FILE = "train.json"


@dataclass(frozen=True)
class Plan:
    """All that decides a run, and where it lives."""

    config: TrainConfig
    beginning: Beginning
    manifest: DataManifest
    data_folder: Path
    folder: Path
    init_from: Path | None
    objective: Objective
    identity: str
    """Hash of what decides the weights."""


class Run:
    """Holds a model in training; starts from its last save, the earlier stage, or the seed."""

    def __init__(self, plan: Plan, progress: Progress) -> None:
        config = plan.config
        self.plan, self.config, self.progress = plan, config, progress
        self.device = choose_device(config)
        self.dtype = choose_dtype(config, self.device)
        torch.manual_seed(config.seed)
        self.model = make_model(plan.beginning)
        self.model.to(self.device)  # type: ignore[arg-type]
        if isinstance(plan.beginning, DecoderConfig):
            set_token_ids(self.model, plan.data_folder)
        if config.gradient_checkpointing:
            self.model.activation_checkpointing_enable()
        if plan.manifest.conversations:
            attend_within_documents(self.model)
        plan.objective.prepare(self.model, plan.data_folder, plan.manifest.conversations)
        if config.lora_rank:
            # Where activations are computed twice, gradients must reach the first layer's frozen inputs.
            if config.gradient_checkpointing:
                self.model.enable_input_require_grads()  # type: ignore[no-untyped-call]
            self.model = add_adapters(self.model, config.lora_rank)
        self.optimizer = make_optimizer(self.model, config)
        self.rows = plan.manifest.rows(plan.data_folder, "train", config.sequence_length)
        self.valid = plan.manifest.rows(plan.data_folder, "valid", config.sequence_length)
        self._say_cut()
        self.token_bytes = token_bytes(plan.data_folder)
        remove_leftovers(plan.folder / STATE_FILE)
        self.counters = self._starting_point()
        self.log = RunLog(plan.folder, self.counters.step, progress)
        if config.compile:
            compile_decoder(self.model, config, self.dtype, progress)
        self.bits_per_byte = math.nan
        self.samples: list[Sample] = []
        self._saved_at = time.monotonic()
        self._started_at = time.monotonic() - self.counters.wall_s

    def train_remaining(self, interrupt: Interrupt, advance: Callable[[float], None]) -> None:
        """Run the remaining steps; on a signal save first, then let it through."""
        config, counters = self.config, self.counters
        log_every = config.log_every or max(1, config.steps // 40)
        validate_every = config.validate_every or math.ceil(config.steps / 4)
        first_rounded = config.steps - config.qat_steps
        if config.qat_steps and counters.step > first_rounded:
            train_rounded(self.model)
        self.model.train()
        while counters.step < config.steps:
            if config.qat_steps and counters.step == first_rounded:
                self.progress.line(f"the last {config.qat_steps} steps with weights rounded to q4_0")
                train_rounded(self.model)
            self._step()
            advance(1)
            at_end = counters.step == config.steps
            if counters.step % log_every == 0 or at_end:
                self._report()
            if counters.step % validate_every == 0 and not at_end:
                self._validate()
            if counters.step % (config.checkpoint_every_steps or config.steps) == 0 and not at_end:
                self._keep()
            if interrupt.signum is not None or self._save_is_due():
                self._save()
                interrupt.reraise()

    def finish(self) -> TrainResult:
        """Save the state for a next stage, the Hugging Face folder, and last the result."""
        self._validate()
        self._save()
        save_checkpoint(merge_adapters(self.model), self.plan.data_folder, self.plan.folder)
        config, counters = self.config, self.counters
        tokens = config.steps * config.tokens_per_step
        result = TrainResult(
            folder=self.plan.folder,
            steps=config.steps,
            tokens=tokens,
            loss=counters.last_loss,
            bits_per_byte=self.bits_per_byte,
            tokens_per_s=tokens / counters.train_s,
            wall_s=counters.wall_s,
            samples=self.samples,
        )
        made = provenance(config=config.model_dump(mode="json"), seed=config.seed, wall_s=counters.wall_s)
        document = result.model_dump(mode="json", exclude={"folder"})
        write_json(self.plan.folder / RESULT_FILE, {**document, "identity": self.plan.identity, "made": made})
        return result

    def _say_cut(self) -> None:
        """Say which conversations do not fit into a row."""
        if isinstance(self.rows, PackedRows) and self.rows.num_cut:
            total = self.plan.manifest.train.documents
            self.progress.line(
                f"{self.rows.num_cut:,} of {total:,} conversations are longer than "
                f"{self.config.sequence_length} tokens and lose their end; a larger sequence_length keeps it"
            )

    def _step(self) -> None:
        """One optimizer step on the next windows of the data."""
        config, counters = self.config, self.counters
        began = time.monotonic()
        indices = batch_indices(len(self.rows), counters.position, config.batch_size, self.plan.manifest.seed)
        batch = Batch.of(self.rows.batch(indices), self.device)
        weight = batch.total_weight()
        loss = torch.zeros((), device=self.device)
        for part in batch.split(config.micro_batch_size or config.batch_size):
            part_loss = self.plan.objective.loss(self.model, part, self.dtype) / weight
            part_loss.backward()  # type: ignore[no-untyped-call]
            loss += part_loss.detach()
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), config.grad_clip)
        if math.isfinite(float(loss)) and math.isfinite(float(norm)):
            set_learning_rate(self.optimizer, learning_rate(config, counters.step))
            self.optimizer.step()
            counters.learnt(float(loss), float(norm))
        else:
            self._skip()
        self.optimizer.zero_grad(set_to_none=True)
        counters.advance(config.batch_size, time.monotonic() - began)

    def _skip(self) -> None:
        """Leave a step out whose loss or gradient is not finite; too many in a row are an error."""
        step = self.counters.step + 1
        self.counters.skipped += 1
        if self.counters.skipped > self.config.max_skipped_steps:
            raise ValueError(
                f"the loss is not finite at step {step}, after {self.counters.skipped - 1} such steps "
                "that were left out; lower learning_rate or lengthen warmup_steps"
            )
        self.progress.line(f"step {step} left out: its loss or gradient is not finite")

    def _report(self) -> None:
        config, counters = self.config, self.counters
        first = counters.step - counters.range_steps + 1
        loss, norm = counters.close_range()
        tokens_per_s = counters.step * config.tokens_per_step / counters.train_s
        rate = learning_rate(config, counters.step - 1)
        step_tokens = config.tokens_per_step
        self.log.steps(first, counters.step, config.steps, loss, norm, rate, tokens_per_s, step_tokens)

    def _validate(self) -> None:
        loss, self.bits_per_byte = validate(self.model, self.valid, self.token_bytes, self.config, self.dtype)
        self.log.validation(self.counters.step, loss, self.bits_per_byte)
        self.samples = write_samples(
            self.model, self.plan.data_folder, self.config, chat=self.plan.manifest.conversations
        )
        for sample in self.samples:
            self.log.sample(self.counters.step, sample.prompt, sample.text)

    def _keep(self) -> None:
        config, step = self.config, self.counters.step
        tokens = step * config.tokens_per_step
        plan = self.plan
        keep_checkpoint(self.model, plan.data_folder, plan.folder, step, tokens, config.keep_checkpoints)

    def _save_is_due(self) -> bool:
        steps = self.config.save_every_steps
        by_steps = steps is not None and self.counters.step % steps == 0
        return by_steps or time.monotonic() - self._saved_at >= self.config.save_every_s

    def _save(self) -> None:
        self.counters.wall_s = time.monotonic() - self._started_at
        plan = self.plan
        save_state(
            plan.folder,
            plan.identity,
            plan.manifest.content,
            self.config.sequence_length,
            self.counters,
            self.model,
            self.optimizer,
        )
        self._saved_at = time.monotonic()

    def _starting_point(self) -> Counters:
        plan = self.plan
        state = load_state(plan.folder)
        if state and state["identity"] == plan.identity:
            counters = apply_state(state, self.model, self.optimizer)
            self.progress.line(f"resuming after step {counters.step}")
            return counters
        if state:
            self.progress.line(f"the settings changed since {plan.folder} was trained; training from scratch")
        drop_checkpoints(plan.folder)
        if plan.init_from is None:
            return Counters()
        earlier = load_state(plan.init_from)
        if earlier is None:
            raise ValueError(f"{plan.init_from} has no training state to start from; train that stage again")
        position = apply_state(earlier, self.model, self.optimizer).position
        if earlier["data"] != plan.manifest.content:
            return Counters()
        return Counters(position=self._carried(position, int(earlier["sequence_length"])))

    def _carried(self, position: int, sequence_length: int) -> int:
        """The place in the data of a stage with windows of another length: the next pass over all of it."""
        if sequence_length == self.config.sequence_length:
            return position
        plan = self.plan
        num_before = len(plan.manifest.rows(plan.data_folder, "train", sequence_length))
        return math.ceil(position / num_before) * len(self.rows)
