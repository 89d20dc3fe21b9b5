"""What a measurement says of one model. The field names are those of `phonelm bench --json`."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict


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


class Timing(BaseModel):
    """What one model did: speeds in tokens per second, times in seconds, sizes in bytes.

    The peak is made of four parts: `base_bytes`, `weight_bytes`, `kv_bytes` and `buffer_bytes`.
    """

    model_config = ConfigDict(frozen=True)

    model: str
    """File name of the model."""
    path: str
    isa: str
    """Instruction set of the kernels that ran."""
    prefill_threads: int
    decode_threads: int
    kv_type: str
    weight_types: dict[str, int]
    """Packed bytes by tensor type, the most first: which matrix kernels ran, and on how much."""
    prompt_tokens: int
    generated_tokens: int
    """Tokens evaluated one at a time after the prompt."""
    repeats: int
    prefill_tok_s: Spread
    decode_tok_s: Spread
    first_token_s: Spread
    """From the first token of the prompt to the first of the answer, model loaded and warm."""
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
    decode_bytes_per_token: int
    """What a generated token reads: weights without skipped neurons, keys and values on average."""
    dense_bytes_per_token: int
    """The same if no neuron was skipped."""
    bandwidth_bytes_per_s: float
    """At which decode's threads read the weights where they lie and do nothing else."""
    live_fractions: list[float]
    """Of FFN neurons by layer, mean over the generated tokens; empty where all neurons are computed."""
    prefill_ops_per_token: float
    """Two for each multiply-add of the prompt's matrices, attention and head, over its tokens."""
    output_sha256: str
    """Hash of the greedy tokens of the first repeat: equal output, equal hash."""


class BenchResult(Timing):
    """What one model did, and how near that is to what the machine can do."""

    int8_ops_per_s: float
    """Measured rate of the int8 kernel on data in the first caches, two operations a multiply-add, with
    prefill's threads (at most one a core)."""
    decode_bandwidth_share: float
    """Bytes a second that the median decode reads, over the bandwidth."""
    prefill_peak_share: float
    """Operations a second of the median prefill, over the int8 rate (4-bit kernels may be faster)."""
