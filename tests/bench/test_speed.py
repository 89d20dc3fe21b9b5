from __future__ import annotations

from pathlib import Path

import pytest

from phonelm.bench import Spread, measure, measure_file
from phonelm.engine import load


def test_spread_is_median_and_range() -> None:
    assert Spread.of([3.0, 1.0, 10.0]) == Spread(median=3.0, low=1.0, high=10.0)


def test_a_measurement_says_what_ran(tiny_gguf: Path) -> None:
    with load(tiny_gguf, num_threads=1, isa="scalar") as model:
        first, again = (measure(model, prompt_tokens=16, generate=8, repeats=2) for _ in range(2))
    assert (first.isa, first.threads, first.prompt_tokens, first.generated_tokens) == ("scalar", 1, 16, 8)
    assert first.output_sha256 == again.output_sha256
    assert first.prefill_tok_s.low > 0
    assert first.decode_tok_s.low > 0
    assert first.kv_bytes >= 24 * 2 * 2 * 2 * 16 * 2
    assert first.peak_rss_bytes > first.weight_bytes
    assert first.types["Q8_0"] == 1 + 2 * 7


def test_a_process_of_its_own_measures_the_same_model(tiny_gguf: Path) -> None:
    with load(tiny_gguf, num_threads=1) as model:
        here = measure(model, 16, 8, 1)
    there = measure_file(tiny_gguf, 16, 8, 1, num_threads=1)
    assert there.output_sha256 == here.output_sha256
    assert there.load_s > 0


@pytest.mark.parametrize("counts", [(0, 8, 1), (16, 0, 1), (16, 8, 0), (120, 9, 1)])
def test_counts_that_cannot_run_are_refused(tiny_gguf: Path, counts: tuple[int, int, int]) -> None:
    with load(tiny_gguf) as model, pytest.raises(ValueError, match=r"at least 1|context"):
        measure(model, *counts)
