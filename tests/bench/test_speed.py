from __future__ import annotations

from pathlib import Path

import pytest

from phonelm.arch import flops_per_token
from phonelm.bench import Spread, measure
from phonelm.engine import load


def test_spread_is_median_and_range() -> None:
    assert Spread.of([3.0, 1.0, 10.0]) == Spread(median=3.0, low=1.0, high=10.0)


def test_a_measurement_says_what_ran(tiny_gguf: Path) -> None:
    with load(tiny_gguf, num_threads=1, isa="scalar") as model:
        first, again = (measure(model, prompt_tokens=16, generate=8, repeats=2) for _ in range(2))
        config = model.config
    assert (first.isa, first.prefill_threads, first.decode_threads) == ("scalar", 1, 1)
    assert (first.prompt_tokens, first.generated_tokens, first.kv_type) == (16, 8, "f16")
    assert first.output_sha256 == again.output_sha256
    assert first.prefill_tok_s.low > 0
    assert first.decode_tok_s.low > 0
    assert first.kv_bytes >= 24 * 2 * 2 * 2 * 16 * 2
    assert first.peak_rss_bytes > first.weight_bytes
    assert set(first.weight_types) == {"Q8_0", "F32"}
    assert first.prefill_ops_per_token == flops_per_token(config, 16, "prefill")


def test_shares_are_rates_over_limits(tiny_gguf: Path) -> None:
    with load(tiny_gguf, num_threads=1) as model:
        result = measure(model, 16, 8, 1)
    read = result.decode_bytes_per_token * result.decode_tok_s.median
    assert result.decode_bandwidth_share == pytest.approx(read / result.bandwidth_bytes_per_s)
    done = result.prefill_ops_per_token * result.prefill_tok_s.median
    assert result.prefill_peak_share == pytest.approx(done / result.int8_ops_per_s)


def test_a_relu_model_tells_its_live_neurons_unless_all_are_computed(relu_gguf: Path) -> None:
    with load(relu_gguf) as model:
        sparse = measure(model, 16, 8, 2)
    with load(relu_gguf, sparse_ffn=False) as model:
        dense = measure(model, 16, 8, 2)
    assert len(sparse.live_fractions) == 2
    assert all(0.2 < live < 0.8 for live in sparse.live_fractions)
    assert dense.live_fractions == []
    assert sparse.decode_bytes_per_token < sparse.dense_bytes_per_token
    assert dense.decode_bytes_per_token == dense.dense_bytes_per_token == sparse.dense_bytes_per_token


@pytest.mark.parametrize("counts", [(0, 8, 1), (16, 0, 1), (16, 8, 0), (120, 9, 1)])
def test_counts_that_cannot_run_are_refused(tiny_gguf: Path, counts: tuple[int, int, int]) -> None:
    with load(tiny_gguf) as model, pytest.raises(ValueError, match=r"at least 1|context"):
        measure(model, *counts)
