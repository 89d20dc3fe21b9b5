"""Rounding in training against the quantizer of files."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from phonelm.arch import DecoderConfig
from phonelm.data import DataManifest
from phonelm.data.tokenizer import token_bytes
from phonelm.formats.quantization import dequantize, quantize
from phonelm.progress import Progress
from phonelm.train import TrainConfig, train
from phonelm.train.rounding import round_to_q4_0, train_rounded
from phonelm.train.validate import validate

CONFIG = TrainConfig(
    steps=12,
    batch_size=4,
    sequence_length=32,
    learning_rate=5e-3,
    sample_tokens=0,
    valid_tokens=512,
    qat_steps=5,
    num_threads=1,
)


def _as_in_a_file(weight: torch.Tensor) -> torch.Tensor:
    return torch.from_numpy(dequantize(quantize(weight.numpy(), "q4_0"), "q4_0"))


@given(st.integers(0, 2**32 - 1), st.floats(-42, 13))
def test_bit_for_bit_what_a_file_holds(seed: int, log_scale: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(6, 96, generator=generator) * 2.0**log_scale
    weight[1, :32] = 0
    weight[2, 32:64] = weight[2, 32:64].abs().max()
    assert torch.equal(round_to_q4_0(weight), _as_in_a_file(weight))


def test_gradients_pass_as_they_are() -> None:
    weight = torch.randn(4, 64, requires_grad=True)
    factors = torch.randn(4, 64)
    (round_to_q4_0(weight) * factors).sum().backward()  # type: ignore[no-untyped-call]
    assert weight.grad is not None
    assert torch.equal(weight.grad, factors)


class _Stop(Progress):
    def __init__(self, beginning: str) -> None:
        self.beginning = beginning

    def line(self, text: str) -> None:
        if text.startswith(self.beginning):
            raise KeyboardInterrupt


def test_validation_is_that_of_the_quantized_file(
    data_folder: Path, decoder: DecoderConfig, tmp_path: Path
) -> None:
    result = train(CONFIG, decoder, data_folder, tmp_path / "run")
    quantized = tmp_path / "quantized"
    shutil.copytree(tmp_path / "run", quantized)
    model = AutoModelForCausalLM.from_pretrained(quantized)
    with torch.no_grad():
        for name, weight in model.model.layers.named_parameters():
            if name.endswith("proj.weight"):
                weight.copy_(_as_in_a_file(weight))
    rows = DataManifest.load(data_folder).rows(data_folder, "valid", CONFIG.sequence_length)
    _, expected = validate(model, rows, token_bytes(data_folder), CONFIG, torch.float32)
    assert result.bits_per_byte == pytest.approx(expected, rel=5e-3)
    plain = train(CONFIG.model_copy(update={"qat_steps": 0}), decoder, data_folder, tmp_path / "plain")
    assert plain.bits_per_byte != result.bits_per_byte


def test_a_stopped_run_ends_with_the_same_weights(
    data_folder: Path, decoder: DecoderConfig, tmp_path: Path
) -> None:
    config = CONFIG.model_copy(update={"save_every_steps": 1, "log_every": 1, "dtype": "float32"})
    train(config, decoder, data_folder, tmp_path / "straight")
    for line in ("step 4 ", "step 7 ", "step 10 "):
        with pytest.raises(KeyboardInterrupt):
            train(config, decoder, data_folder, tmp_path / "stopped", progress=_Stop(line))
    train(config, decoder, data_folder, tmp_path / "stopped")
    first, second = (load_file(tmp_path / name / "model.safetensors") for name in ("straight", "stopped"))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_what_cannot_be_rounded_is_refused(decoder: DecoderConfig) -> None:
    from phonelm.train.model import PhoneLMForCausalLM, decoder_to_hf

    odd = PhoneLMForCausalLM(decoder_to_hf(decoder.model_copy(update={"intermediate_size": 40})))
    with pytest.raises(ValueError, match="40 columns"):
        train_rounded(odd)
    for other in ({"compile": True}, {"lora_rank": 4}):
        with pytest.raises(ValidationError, match="leave out qat_steps"):
            TrainConfig(steps=5, qat_steps=2, **other)
    with pytest.raises(ValidationError, match="qat_steps 6 exceed steps 5"):
        TrainConfig(steps=5, qat_steps=6)
