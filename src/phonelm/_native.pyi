"""The native core: GGUF models in memory, sessions over them, and the measurements of their operators."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

MAX_THREADS: int
PANEL_ROWS: int
"""Rows of a matrix that the kernels read together and that a thread takes at a time."""
CHUNK_TOKENS: int
"""Tokens of a prompt that are evaluated in one pass."""
NUM_SINKS: int
"""Tokens at the beginning that a sliding context keeps, as in StreamingLLM (arXiv 2309.17453)."""
TENSOR_BLOCKS: dict[str, tuple[int, int]]

def cpu_info() -> dict[str, Any]: ...
def available_memory(root: str = "") -> tuple[int, str]: ...
def describe(path: str) -> str: ...
def outline(path: str) -> dict[str, Any]:
    """What a load would make of a file, every tensor checked and no weight read: `description` as of
    `describe`, `weight_bytes` in memory, `kv_bytes` of a token by the type of keys and values."""

def read_metadata(path: str) -> dict[str, Any]: ...
def read_tensors(path: str) -> list[dict[str, Any]]: ...
def first_pre_tokenizer_name(name: str) -> str: ...

class Tokenizer:
    vocab_size: int
    bos_id: int
    eos_id: int
    add_bos: bool
    add_eos: bool
    add_space_prefix: bool
    stop_ids: list[int]
    @staticmethod
    def from_gguf(path: str) -> Tokenizer: ...
    control_texts: list[bytes]
    def encode(
        self, text: str | bytes, parse_special: bool = False, plain: list[tuple[int, int]] = []
    ) -> list[int]: ...
    def decode(self, ids: list[int], with_special: bool = False) -> bytes: ...
    def token_bytes(self, id: int, with_special: bool = False) -> bytes: ...
    def is_special(self, id: int) -> bool: ...

class Sampler:
    defaults: dict[str, float]
    def __init__(
        self,
        temperature: float = 0.0,
        top_k: int = 0,
        top_p: float = 1.0,
        min_p: float = 0.0,
        typical_p: float = 1.0,
        repeat_penalty: float = 1.0,
        presence_penalty: float = 0.0,
        frequency_penalty: float = 0.0,
        repeat_last_n: int = 64,
        seed: int = 0,
        dry_multiplier: float = 0.0,
        dry_base: float = 1.75,
        dry_allowed_length: int = 2,
        dry_penalty_last_n: int = -1,
        xtc_probability: float = 0.0,
        xtc_threshold: float = 0.1,
        logit_bias: list[tuple[int, float]] = [],
        dry_breakers: list[list[int]] = [],
    ) -> None: ...
    def choose(
        self, logits: NDArray[np.float32], mask: NDArray[np.uint32] | None = None, before: list[int] = []
    ) -> int: ...

def dry_breakers(tokenizer: Tokenizer, text: bytes) -> list[list[int]]: ...

class Speculation:
    num_drafted: int
    num_accepted: int
    def __init__(self, prompt: list[int]) -> None: ...
    def propose(self, known: list[int], most: int) -> list[int]: ...
    def advance(
        self,
        session: Session,
        sampler: Sampler,
        known: list[int],
        draft: list[int],
        masks: list[NDArray[np.uint32]],
    ) -> list[int]: ...

class Adapters:
    num_bytes: int
    @staticmethod
    def load(model: Model, sources: list[tuple[str, float]]) -> Adapters: ...

class Observer:
    def __init__(
        self, model: Model, first_layer: int, num_layers: int, with_head: bool, context_length: int
    ) -> None: ...
    def run(self, tokens: list[int], position: int) -> None: ...
    def rows(self, layer: int, input: str) -> NDArray[np.float32]: ...
    def head_rows(self) -> NDArray[np.float32]: ...

class Session:
    position: int
    num_dropped: int
    room: int
    slides: bool
    num_sinks: int | None
    tokens: list[int]
    context_length: int
    adapters: Adapters | None
    kv_type: str
    kv_bytes: int
    used_bytes: int
    logits_are_current: bool
    def prefill(self, tokens: list[int]) -> None: ...
    def prefill_logits(self, tokens: list[int]) -> NDArray[np.float32]: ...
    def logits(self) -> NDArray[np.float32]: ...
    def step_logits(self, tokens: list[int]) -> NDArray[np.float32]: ...
    def sample(self, sampler: Sampler, mask: NDArray[np.uint32] | None = None) -> int: ...
    def step(self, tokens: list[int], sampler: Sampler, mask: NDArray[np.uint32] | None = None) -> int: ...
    def decode(self, token: int, sampler: Sampler, num_tokens: int) -> list[int]: ...
    def truncate(self, position: int) -> None: ...
    def fork(self, num_tokens: int, context_length: int) -> Session: ...
    def save(self, path: str) -> None: ...
    def live_fractions(self) -> list[float]: ...
    def time_parts(self) -> None: ...
    def part_seconds(self) -> dict[str, float]: ...

class Model:
    description: str
    context_length: int
    metadata: dict[str, Any]
    tensor_types: dict[str, str]
    tensor_shapes: dict[str, list[int]]
    weight_bytes: int
    buffer_bytes: int
    file_bytes: int
    isa: str
    num_threads: int
    decode_threads: int
    prefill_threads: int
    tokenizer: Tokenizer
    @staticmethod
    def load(
        path: str,
        isa: str = "",
        num_threads: int | None = None,
        sparse_ffn: bool = True,
        context_length: int = 0,
        kv_type: str = "f16",
    ) -> Model: ...
    def read_bandwidth(self) -> float: ...
    def score(
        self,
        sequences: list[list[int]],
        num_scored: list[int],
        adapters: Adapters | None = None,
        kv_type: str = "f16",
    ) -> list[tuple[float, bool]]: ...
    def compare_rows(
        self, reference_logits: NDArray[np.float32], logits: NDArray[np.float32], targets: list[int]
    ) -> list[tuple[float, bool, float, float]]: ...
    def kv_bytes(self, context_length: int, kv_type: str = "f16") -> int: ...
    def new_session(
        self,
        context_length: int,
        adapters: Adapters | None = None,
        kv_type: str = "f16",
        num_sinks: int | None = None,
    ) -> Session: ...
    def restore_session(
        self, path: str, context_length: int = 0, adapters: Adapters | None = None
    ) -> Session: ...

def evaluate_batch(sessions: list[Session], tokens: list[list[int]]) -> None: ...
def step_batch(
    sessions: list[Session],
    tokens: list[int],
    samplers: list[Sampler],
    masks: list[NDArray[np.uint32] | None] = [],
) -> list[int]: ...

class OperatorBench:
    def __init__(self) -> None: ...
    def answer(self, line: str) -> str: ...

def uniform_operators(
    vocab_size: int,
    hidden: NDArray[np.int32],
    layers: NDArray[np.int32],
    head_dim: NDArray[np.int32],
    heads: NDArray[np.int32],
    kv_heads: NDArray[np.int32],
    intermediate: NDArray[np.int32],
    gated: NDArray[np.int32],
    relu: NDArray[np.int32],
    block_type: str,
    num_tokens: int,
    context: int,
    num_threads: int,
) -> dict[str, dict[str, Any]]: ...
def peak_int8_ops(num_threads: int, isa: str = "") -> float: ...
