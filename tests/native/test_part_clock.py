"""Where the time of a pass goes: the parts of a session's clock."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from phonelm import _native
from phonelm.arch import DecoderConfig
from phonelm.formats import write_random_gguf
from shapes import TINY

PARTS = {"norms", "projections", "attention", "ffn", "head", "overhead"}
GEMMA = {"activation": "gelu_tanh", "post_norm": True, "qk_norm": "head", "scale_embedding": True}
KINDS: dict[str, DecoderConfig] = {
    "silu": TINY,
    "dead neurons": TINY.model_copy(update={"activation": "relu", "intermediate_size": 256}),
    "gemma": TINY.model_copy(update=GEMMA),
}


@pytest.mark.parametrize("kind", list(KINDS))
@pytest.mark.parametrize("num_threads", [1, 2])
def test_every_part_has_time_and_all_together_no_more_than_the_calls(
    tmp_path: Path, kind: str, num_threads: int
) -> None:
    write_random_gguf(tmp_path / "model.gguf", KINDS[kind])
    model = _native.Model.load(str(tmp_path / "model.gguf"), num_threads=num_threads)
    session, sampler = model.new_session(96), _native.Sampler()
    session.time_parts()
    spent, counted = 0.0, dict.fromkeys(PARTS, 0.0)
    for work in ("prefill", "decode", "step"):
        begin = time.perf_counter()
        if work == "prefill":
            session.prefill(list(range(1, 41)))
        elif work == "decode":
            session.decode(3, sampler, 8)
        else:
            session.step_logits([5, 6, 7])
        spent += time.perf_counter() - begin
        seconds = session.part_seconds()
        assert set(seconds) == PARTS
        assert all(seconds[name] > counted[name] for name in PARTS), work
        assert sum(seconds.values()) <= spent
        counted = seconds


@pytest.mark.parametrize("activation", ["silu", "relu"])
def test_the_clock_changes_no_number_and_counts_only_when_asked(
    tmp_path: Path, activation: Literal["silu", "relu"]
) -> None:
    config = TINY.model_copy(update={"activation": activation, "intermediate_size": 256})
    write_random_gguf(tmp_path / "model.gguf", config)
    model = _native.Model.load(str(tmp_path / "model.gguf"), num_threads=1)
    plain, timed = model.new_session(96), model.new_session(96)
    timed.time_parts()
    for tokens in ([*range(1, 31)], [7], [9]):
        assert np.array_equal(plain.prefill_logits(tokens), timed.prefill_logits(tokens))
    assert set(plain.part_seconds().values()) == {0.0}
