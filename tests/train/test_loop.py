"""Training learns, resumes exactly, and fails in ways that say what to do."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

import phonelm.hf  # noqa: F401  registers the model type
from phonelm.arch import DecoderConfig
from phonelm.data import DataManifest
from phonelm.evaluate.series import checkpoints_of
from phonelm.files import read_json
from phonelm.progress import Progress
from phonelm.train import TrainConfig, TrainResult, train
from phonelm.train import run as run_module
from phonelm.train.log import read_log
from phonelm.train.objective import NextToken
from phonelm.train.state import STATE_FILE

CONFIG = TrainConfig(
    steps=20,
    batch_size=4,
    sequence_length=32,
    learning_rate=5e-3,
    warmup_steps=3,
    decay_steps=5,
    valid_tokens=512,
    sample_tokens=4,
    log_every=4,
    validate_every=10,
    save_every_s=1e9,
    # On a busy machine two threads wait for each other more than they compute.
    num_threads=1,
)


class Stop(Progress):
    """Sends this process a signal when a line begins with a text."""

    def __init__(self, beginning: str, signum: int) -> None:
        self.beginning, self.signum = beginning, signum
        self.lines: list[str] = []

    def line(self, text: str) -> None:
        self.lines.append(text)
        if text.startswith(self.beginning):
            signal.raise_signal(self.signum)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def assert_same_weights(one: Path, other: Path) -> None:
    first, second = weights(one), weights(other)
    assert first.keys() == second.keys()
    for name in first:
        assert torch.equal(first[name], second[name]), name


@pytest.fixture(scope="module")
def straight(
    data_folder: Path, decoder: DecoderConfig, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, TrainResult]:
    """A run that nobody disturbed."""
    folder = tmp_path_factory.mktemp("straight") / "run"
    return folder, train(CONFIG, decoder, data_folder, folder)


def test_a_run_learns_and_leaves_a_hugging_face_folder(
    straight: tuple[Path, TrainResult], data_folder: Path
) -> None:
    folder, result = straight
    lines = [line for line in read_log(folder) if line["kind"] == "train"]
    assert [(line["first_step"], line["step"]) for line in lines] == [(n + 1, n + 4) for n in range(0, 20, 4)]
    assert lines[0]["loss"] > lines[-1]["loss"] + 0.5
    assert result.loss == lines[-1]["loss"]
    assert result.tokens == 20 * 4 * 32
    assert [sample.prompt for sample in result.samples] == ["def ", "The "]
    assert sorted(line["step"] for line in read_log(folder) if line["kind"] == "valid") == [10, 20]
    document = read_json(folder / "train.json")
    assert document["made"]["config"]["steps"] == 20
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    assert model.config.rope_table == "int8"
    assert model.config.eos_token_id == tokenizer.eos_token_id == 0
    assert model.generation_config.eos_token_id == [0, 2]


def test_bits_per_byte_is_that_of_transformers_loss(
    straight: tuple[Path, TrainResult], data_folder: Path
) -> None:
    folder, result = straight
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    manifest = DataManifest.load(data_folder)
    stream = np.fromfile(data_folder / manifest.valid.shards[0].file, "<u2").astype(np.int64)
    nats, text_bytes = 0.0, 0
    for start in range(0, min(16 * 32, len(stream) - 32), 32):
        window = torch.from_numpy(stream[start : start + 33])[None]
        nats += float(model(window, labels=window).loss.detach()) * 32
        text_bytes += len(tokenizer.decode(window[0, 1:], skip_special_tokens=True).encode())
    assert result.bits_per_byte == pytest.approx(nats / np.log(2) / text_bytes, rel=2e-2)


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_ends_with_identical_weights(
    straight: tuple[Path, TrainResult], data_folder: Path, decoder: DecoderConfig, tmp_path: Path, signum: int
) -> None:
    folder, undisturbed = straight
    previous = signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    try:
        config = CONFIG.model_copy(update={"log_every": 7})
        with pytest.raises((KeyboardInterrupt, SystemExit)):
            train(config, decoder, data_folder, tmp_path, progress=Stop("step 1-7", signum))
    finally:
        signal.signal(signal.SIGTERM, previous)
    assert torch.load(tmp_path / STATE_FILE)["counters"]["step"] == 7
    assert not (tmp_path / "train.json").exists()
    resumed = Stop("never", signum)
    result = train(CONFIG, decoder, data_folder, tmp_path, progress=resumed)
    assert resumed.lines[0] == "resuming after step 7"
    assert result.bits_per_byte == undisturbed.bits_per_byte
    assert result.samples == undisturbed.samples
    assert_same_weights(folder, tmp_path)


def test_a_killed_run_ends_with_identical_weights_and_no_line_twice(
    straight: tuple[Path, TrainResult], data_folder: Path, decoder: DecoderConfig, tmp_path: Path
) -> None:
    script = (
        "import sys\nfrom phonelm.arch import DecoderConfig\nfrom phonelm.train import TrainConfig, train\n"
        "train(TrainConfig.model_validate_json(sys.argv[1]), DecoderConfig.model_validate_json(sys.argv[2]), "
        "sys.argv[3], sys.argv[4])"
    )
    slow = CONFIG.model_copy(update={"save_every_steps": 6, "log_every": 1, "validate_every": 1})
    arguments = [slow.model_dump_json(), decoder.model_dump_json(), str(data_folder), str(tmp_path)]
    process = subprocess.Popen([sys.executable, "-c", script, *arguments])
    deadline = time.monotonic() + 120
    while not any(line["step"] >= 8 for line in read_log(tmp_path)) and time.monotonic() < deadline:
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert torch.load(tmp_path / STATE_FILE)["counters"]["step"] in (6, 12, 18)
    train(slow, decoder, data_folder, tmp_path)
    assert_same_weights(straight[0], tmp_path)
    steps = [line["step"] for line in read_log(tmp_path) if line["kind"] == "train"]
    assert steps == list(range(1, 21))
    assert not [path for path in tmp_path.iterdir() if path.name.endswith(".tmp")]


def test_a_finished_run_is_not_run_again(
    straight: tuple[Path, TrainResult], data_folder: Path, decoder: DecoderConfig
) -> None:
    folder, result = straight
    before = (folder / STATE_FILE).stat().st_mtime_ns
    assert train(CONFIG, decoder, data_folder, folder) == result
    assert (folder / STATE_FILE).stat().st_mtime_ns == before


def test_changed_settings_train_from_scratch(
    data_folder: Path, decoder: DecoderConfig, tmp_path: Path
) -> None:
    short = CONFIG.model_copy(update={"steps": 8, "sample_prompts": ()})
    train(short, decoder, data_folder, tmp_path)
    progress = Stop("never", signal.SIGINT)
    train(short.model_copy(update={"seed": 1}), decoder, data_folder, tmp_path, progress=progress)
    assert "training from scratch" in progress.lines[0]
    assert [line["step"] for line in read_log(tmp_path) if line["kind"] == "train"] == [4, 8]


def test_two_stages_equal_one_run_with_both_phases(
    straight: tuple[Path, TrainResult], data_folder: Path, decoder: DecoderConfig, tmp_path: Path
) -> None:
    stable = CONFIG.model_copy(update={"steps": 15, "decay_steps": 0})
    decay = CONFIG.model_copy(update={"steps": 5, "warmup_steps": 0})
    train(stable, decoder, data_folder, tmp_path / "stable")
    train(decay, decoder, data_folder, tmp_path / "decay", init_from=tmp_path / "stable")
    assert_same_weights(straight[0], tmp_path / "decay")


def test_micro_batches_add_up(
    straight: tuple[Path, TrainResult], data_folder: Path, decoder: DecoderConfig, tmp_path: Path
) -> None:
    config = CONFIG.model_copy(update={"micro_batch_size": 2, "dtype": "float32", "steps": 8})
    results = [
        train(
            config.model_copy(update={"micro_batch_size": size}), decoder, data_folder, tmp_path / str(size)
        )
        for size in (2, None)
    ]
    assert results[0].loss == pytest.approx(results[1].loss, abs=1e-4)


def test_checkpoints_are_kept_on_the_way(
    straight: tuple[Path, TrainResult], data_folder: Path, decoder: DecoderConfig, tmp_path: Path
) -> None:
    config = CONFIG.model_copy(update={"checkpoint_every_steps": 5, "keep_checkpoints": 2})
    with pytest.raises(KeyboardInterrupt):
        train(config, decoder, data_folder, tmp_path, progress=Stop("step 9-12", signal.SIGINT))
    train(config, decoder, data_folder, tmp_path)
    # Neither they nor the stop change what comes out.
    assert_same_weights(straight[0], tmp_path)
    found = checkpoints_of(tmp_path)
    assert [checkpoint.name for checkpoint in found] == [
        "checkpoints/step-000000010",
        "checkpoints/step-000000015",
        ".",
    ]
    assert [checkpoint.num_tokens for checkpoint in found] == [step * 4 * 32 for step in (10, 15, 20)]
    # The one after ten steps of this run is the last of one that has ten, of the same schedule.
    ten = CONFIG.model_copy(update={"steps": 10, "decay_steps": 0})
    train(ten, decoder, data_folder, tmp_path / "ten")
    assert_same_weights(tmp_path / "ten", found[0].folder)
    assert AutoTokenizer.from_pretrained(found[0].folder).eos_token_id == 0


def test_a_stage_that_begins_anew_drops_what_it_kept(
    data_folder: Path, decoder: DecoderConfig, tmp_path: Path
) -> None:
    short = CONFIG.model_copy(update={"steps": 8, "checkpoint_every_steps": 3})
    train(short, decoder, data_folder, tmp_path)
    train(short.model_copy(update={"seed": 1, "checkpoint_every_steps": 7}), decoder, data_folder, tmp_path)
    assert [checkpoint.name for checkpoint in checkpoints_of(tmp_path)] == ["checkpoints/step-000000007", "."]


def test_a_step_without_a_finite_loss_is_left_out(
    data_folder: Path, decoder: DecoderConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    losses = NextToken.loss
    calls = iter(range(1000))

    def broken(self: NextToken, *arguments: Any) -> torch.Tensor:
        loss = losses(self, *arguments)
        return loss * math.nan if next(calls) in (2, 3) else loss

    monkeypatch.setattr(NextToken, "loss", broken)
    progress = Stop("never", signal.SIGINT)
    result = train(CONFIG, decoder, data_folder, tmp_path, progress=progress)
    left_out = [line for line in progress.lines if "left out" in line]
    assert left_out == [f"step {n} left out: its loss or gradient is not finite" for n in (3, 4)]
    assert math.isfinite(result.loss)
    lines = [line for line in read_log(tmp_path) if line["kind"] == "train"]
    assert [(line["first_step"], line["step"]) for line in lines][:2] == [(1, 4), (5, 8)]
    assert all(line["gradient_norm"] > 0 for line in lines)


def test_windows_of_another_length_begin_the_next_pass(
    data_folder: Path, decoder: DecoderConfig, tmp_path: Path
) -> None:
    first = CONFIG.model_copy(update={"steps": 5, "decay_steps": 0})
    longer = first.model_copy(update={"steps": 2, "warmup_steps": 0, "sequence_length": 48})
    train(first, decoder, data_folder, tmp_path / "a")
    train(longer, decoder, data_folder, tmp_path / "b", init_from=tmp_path / "a")
    num_rows = len(DataManifest.load(data_folder).windows(data_folder, "train", 48))
    assert torch.load(tmp_path / "b" / STATE_FILE)["counters"]["position"] == num_rows + 2 * 4


def test_a_loss_that_is_not_finite_stops_the_run(
    data_folder: Path, decoder: DecoderConfig, tmp_path: Path
) -> None:
    config = CONFIG.model_copy(update={"learning_rate": 1e30, "warmup_steps": 0})
    with pytest.raises(ValueError, match="lower learning_rate"):
        train(config, decoder, data_folder, tmp_path)
    assert not (tmp_path / "train.json").exists()


def test_a_full_disk_passes_through_and_leaves_the_last_save(
    data_folder: Path, decoder: DecoderConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved: Callable[..., None] = torch.save

    def full(document: object, path: Path) -> None:
        if document["counters"]["step"] > 4:  # type: ignore[index]
            path.write_bytes(b"half")
            raise OSError(28, "No space left on device")
        saved(document, path)

    monkeypatch.setattr(torch, "save", full)
    config = CONFIG.model_copy(update={"save_every_steps": 4})
    with pytest.raises(OSError, match="No space"):
        train(config, decoder, data_folder, tmp_path)
    assert torch.load(tmp_path / STATE_FILE)["counters"]["step"] == 4
    assert sorted(path.name for path in tmp_path.iterdir()) == ["train.jsonl", STATE_FILE]


def test_a_damaged_state_is_named(data_folder: Path, decoder: DecoderConfig, tmp_path: Path) -> None:
    (tmp_path / STATE_FILE).write_bytes(b"not a state")
    with pytest.raises(ValueError, match="damaged"):
        train(CONFIG, decoder, data_folder, tmp_path)


@pytest.mark.parametrize(
    ("settings", "shape", "message"),
    [
        ({"sequence_length": 65}, {}, "context"),
        ({}, {"vocab_size": 400}, "vocab_size"),
        ({}, {"norm": "layernorm_no_bias"}, "norm"),
        ({}, {"activation": "gelu"}, "gelu"),
        ({"device": "nowhere"}, {}, "device"),
    ],
)
def test_what_does_not_fit_is_refused(
    settings: dict[str, object],
    shape: dict[str, object],
    message: str,
    data_folder: Path,
    decoder: DecoderConfig,
    tmp_path: Path,
) -> None:
    with pytest.raises(ValueError, match=message):
        train(
            CONFIG.model_copy(update=settings),
            decoder.model_copy(update=shape),
            data_folder,
            tmp_path / "run",
        )
    assert not (tmp_path / "run" / run_module.RESULT_FILE).exists()


def test_missing_earlier_stage_is_named(data_folder: Path, decoder: DecoderConfig, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="finish it first"):
        train(CONFIG, decoder, data_folder, tmp_path / "b", init_from=tmp_path / "a")


@pytest.mark.slow
def test_compiled_model_learns_alike(
    straight: tuple[Path, TrainResult], data_folder: Path, decoder: DecoderConfig, tmp_path: Path
) -> None:
    result = train(CONFIG.model_copy(update={"compile": True}), decoder, data_folder, tmp_path)
    assert result.loss == pytest.approx(straight[1].loss, abs=0.05)


def test_failed_compilation_falls_back(
    straight: tuple[Path, TrainResult],
    data_folder: Path,
    decoder: DecoderConfig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(*_: object, **__: object) -> Callable[..., None]:
        def call(**_: object) -> None:
            raise RuntimeError("no compiler")

        return call

    monkeypatch.setattr(torch, "compile", broken)
    progress = Stop("never", signal.SIGINT)
    train(CONFIG.model_copy(update={"compile": True}), decoder, data_folder, tmp_path, progress=progress)
    assert "torch.compile failed (no compiler); training without it" in progress.lines
    assert_same_weights(straight[0], tmp_path)
