"""What the suite keeps of one shape in one quantization on one machine: a line of its file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from phonelm.arch import DecoderConfig
from phonelm.bench.result import Loaded, Spread
from phonelm.devices import MachineInfo
from phonelm.files import fingerprint

PARTS = ("attention", "ffn", "head", "norms", "overhead")
"""Of a pass's time: attention with its projections, FFN, output head, norms, all else."""
# They change what a model answers and how far it reads, not the time per token.
_COSTLESS = {"context_length": 2048, "norm_eps": 1e-5, "rope_theta": 10000.0}


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PromptTiming(_Record):
    """A prompt, and the tokens that follow it one at a time; seconds."""

    prompt_tokens: int = Field(gt=0)
    decoded_tokens: int = Field(gt=0)
    prefill_s: Spread
    """Of the whole prompt."""
    decode_s: Spread
    """Of one token at the positions behind the prompt."""
    prefill_parts_s: dict[str, float]
    """By part of the model, of the median's round; empty where the device does not tell."""
    decode_parts_s: dict[str, float]

    @property
    def prefill_tok_s(self) -> float:
        """Tokens of the prompt per second."""
        return self.prompt_tokens / self.prefill_s.median

    @property
    def decode_tok_s(self) -> float:
        """Tokens per second after the prompt."""
        return 1 / self.decode_s.median


class Measured(Loaded, _Record):
    """What the process that ran a model reports; keys and values are those of the longest prompt."""

    prompts: list[PromptTiming] = Field(min_length=1)


class SuiteRow(Measured):
    """A measured shape, with where and how it was measured."""

    version: Literal[1] = 1
    machine: MachineInfo
    kernels: str
    """Hash of the native module."""
    settings: dict[str, int | str]
    """What was asked besides the shape: threads and instruction set, where they were forced."""
    shape: DecoderConfig
    """With one context length, norm epsilon and rotary base for all, which cost nothing."""
    parameters: int
    block_type: str
    head_type: str
    measured_as: str
    """The model's name when it was measured; others of its shape share the row."""
    made_at: str

    @property
    def key(self) -> str:
        """Equal for two measurements of the same thing."""
        types = (self.block_type, self.head_type)
        return row_key(self.machine, self.kernels, self.settings, self.shape, types)

    def at(self, prompt_tokens: int) -> PromptTiming:
        """The timing of a prompt's length; `ValueError` where it was not measured."""
        for timing in self.prompts:
            if timing.prompt_tokens == prompt_tokens:
                return timing
        raise ValueError(f"{self.measured_as} was not measured with a prompt of {prompt_tokens} tokens")


def row_key(
    machine: MachineInfo,
    kernels: str,
    settings: Mapping[str, int | str],
    shape: DecoderConfig,
    types: tuple[str, str],
) -> str:
    """Fingerprint of a measurement; `types` are the blocks' and the head's."""
    return fingerprint([machine.fingerprint, kernels, dict(settings), shape.model_dump(), types])


def shape_of(config: DecoderConfig) -> DecoderConfig:
    """The decoder without what no operator depends on, so that models of equal cost are equal."""
    return config.model_copy(update=_COSTLESS)
