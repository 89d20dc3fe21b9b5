"""What a measurement says of one model. The field names are those of `phonelm bench --json`."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from phonelm.bench.memory import peak_rss_bytes

if TYPE_CHECKING:
    from phonelm import _native


class Spread(BaseModel):
    """Median of the repeats, with the lowest and the highest."""

    model_config = ConfigDict(frozen=True)

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Return the spread of at least one value."""
        return cls(median=statistics.median(values), low=min(values), high=max(values))


class Loaded(BaseModel):
    """A model in memory: how it was loaded, the kernels that run it, and what it takes.

    The peak is made of four parts: `base_bytes`, `weight_bytes`, `kv_bytes` and `buffer_bytes`.
    """

    model_config = ConfigDict(frozen=True)

    isa: str
    """Instruction set of the kernels that ran."""
    prefill_threads: int
    decode_threads: int
    load_s: float
    file_bytes: int
    base_bytes: int
    """What the process held before the model was loaded: Python, its packages, the runtime's code."""
    weight_bytes: int
    """The weights as the kernels read them."""
    kv_bytes: int
    """Keys and values of the tokens of one repeat."""
    buffer_bytes: int
    """All else at the peak, never below 0: working memory, tokenizer, pages of the file while it is read."""
    peak_rss_bytes: int
    """The most memory the process held at once; 0 where the system does not tell."""

    @classmethod
    def of(cls, native: _native.Model, load_s: float, base_bytes: int, kv_bytes: int) -> Loaded:
        """What a model of this process tells, and the process's peak up to now."""
        peak = peak_rss_bytes()
        return Loaded(
            isa=native.isa,
            prefill_threads=native.prefill_threads,
            decode_threads=native.decode_threads,
            load_s=load_s,
            file_bytes=native.file_bytes,
            base_bytes=base_bytes,
            weight_bytes=native.weight_bytes,
            kv_bytes=kv_bytes,
            buffer_bytes=max(peak - base_bytes - native.weight_bytes - kv_bytes, 0),
            peak_rss_bytes=peak,
        )


class DeviceTiming(Loaded):
    """What one model did on any device: speeds in tokens per second, times in seconds, sizes in bytes."""

    model: str
    """File name of the model."""
    kv_type: str
    prompt_tokens: int
    generated_tokens: int
    """Tokens evaluated one at a time after the prompt."""
    repeats: int
    prefill_tok_s: Spread
    decode_tok_s: Spread
    first_token_s: Spread
    """From the first token of the prompt to the first of the answer, model loaded and warm."""
    dense_bytes_per_token: int
    """What a generated token reads if no neuron is skipped: weights, keys and values on average."""
    bandwidth_bytes_per_s: float
    """At which decode's threads read the weights where they lie and do nothing else."""
    live_fractions: list[float]
    """Of FFN neurons by layer, mean over the generated tokens; empty where all neurons are computed."""

    @property
    def prefill_s(self) -> float:
        """Seconds for the whole prompt, the median."""
        return self.prompt_tokens / self.prefill_tok_s.median

    @property
    def decode_s(self) -> float:
        """Seconds per token, the median."""
        return 1 / self.decode_tok_s.median


class Timing(DeviceTiming):
    """What one model did on this machine, with what only Python tells of it."""

    path: str
    weight_types: dict[str, int]
    """Packed bytes by tensor type, the most first: which matrix kernels ran, and on how much."""
    decode_bytes_per_token: int
    """What a generated token reads: `dense_bytes_per_token` without skipped neurons."""
    prefill_ops_per_token: float
    """Two for each multiply-add of the prompt's matrices, attention and head, over its tokens."""
    output_sha256: str
    """Hash of the greedy tokens of the first repeat: equal output, equal hash."""


class BenchResult(Timing):
    """What one model did, and how near that is to what the machine can do."""

    int8_ops_per_s: float
    """Measured rate of the int8 kernel on data in the first caches, two operations a multiply-add, with
    prefill's threads (at most one per core)."""
    decode_bandwidth_share: float
    """Bytes a second that the median decode reads, over the bandwidth."""
    prefill_peak_share: float
    """Operations a second of the median prefill, over the int8 rate (4-bit kernels may be faster)."""
