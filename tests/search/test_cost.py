from __future__ import annotations

import numpy as np
import pytest

from phonelm.arch import DecoderConfig, kv_bytes_per_token, weight_bytes
from phonelm.search import Request, SearchConfig, SpaceConfig, enumerate_shapes, predict, price
from synthetic import attention_seconds, ffn_seconds, matmul_seconds, synthetic_profile

CONFIG = DecoderConfig(
    vocab_size=4096,
    hidden_size=256,
    num_layers=6,
    num_heads=8,
    num_kv_heads=2,
    head_dim=32,
    intermediate_size=768,
    ffn="gated",
    activation="silu",
)
REQUEST = Request(prompt_tokens=256, output_tokens=64, context_length=512)


def test_decode_is_the_sum_over_the_operators() -> None:
    layer = (
        matmul_seconds(256 + 2 * 64, 256)
        + attention_seconds(32, 4, 2, 256 + 32)
        + matmul_seconds(256, 256)
        + ffn_seconds(True, 256, 768)
    )
    ending = 2 * matmul_seconds(4096, 256) + 1e-10 * 4096 + 1e-6 + 1e-10 * 256
    predicted = predict(CONFIG, synthetic_profile(), REQUEST)
    assert predicted.decode_ms == pytest.approx(1e3 * (6 * layer + ending), rel=1e-9)
    assert sum(predicted.decode_parts_ms.values()) == pytest.approx(predicted.decode_ms)


def test_prefill_is_two_chunks_and_one_head() -> None:
    matmuls = (
        matmul_seconds(256 + 2 * 64, 256, 128)
        + matmul_seconds(256, 256, 128)
        + ffn_seconds(True, 256, 768, 128)
    )
    attention = 128 * (attention_seconds(32, 4, 2, 128) + attention_seconds(32, 4, 2, 256))
    layer = 2 * matmuls + attention
    ending = 2 * matmul_seconds(4096, 256) + 1e-10 * 4096 + 2 * (1e-6 + 1e-10 * 256)
    predicted = predict(CONFIG, synthetic_profile(), REQUEST)
    assert predicted.prefill_ms == pytest.approx(1e3 * (6 * layer + ending), rel=1e-9)


def test_a_relu_ffn_costs_what_its_neurons_do() -> None:
    """By live share in decode, by tokens in prefill; what is not stored by neurons costs its matrices."""
    relu = CONFIG.model_copy(update={"activation": "relu"})
    request = Request(prompt_tokens=64, output_tokens=64, context_length=512, live_fraction=0.3)
    predicted = predict(relu, synthetic_profile(), request)
    assert predicted.decode_parts_ms["ffn"] == pytest.approx(1e3 * 6 * 0.8 * ffn_seconds(True, 256, 768))
    assert predicted.prefill_parts_ms["ffn"] == pytest.approx(
        1e3 * 6 * 64 / 128 * ffn_seconds(True, 256, 768, 128)
    )
    odd = {"hidden_size": 288}
    parts = [
        predict(config.model_copy(update=odd), synthetic_profile(), request).decode_parts_ms["ffn"]
        for config in (relu, CONFIG)
    ]
    assert parts[0] == parts[1]


def test_a_cost_that_was_not_measured_is_refused() -> None:
    profile = synthetic_profile()
    operators = {name: grid for name, grid in profile.decode.operators.items() if name != "ffn_gated"}
    decode = profile.decode.model_copy(update={"operators": operators})
    with pytest.raises(ValueError, match="no cost of ffn_gated"):
        predict(CONFIG, profile.model_copy(update={"decode": decode}), REQUEST)


def test_memory_is_the_architectures_own_count() -> None:
    expected = weight_bytes(CONFIG, "q4_0", "q8_0") + 512 * kv_bytes_per_token(CONFIG)
    assert predict(CONFIG, synthetic_profile(), REQUEST).memory_mb * 2**20 == pytest.approx(expected)


def test_uneven_shares_wait_for_the_slowest() -> None:
    """784 rows are 49 panels, of which one of two threads has 25: as long as 800."""
    uneven, even = (CONFIG.model_copy(update={"intermediate_size": size}) for size in (784, 800))
    costs = [
        predict(config, synthetic_profile(), REQUEST).decode_parts_ms["ffn"] for config in (uneven, even)
    ]
    assert costs[0] == costs[1]


def test_pricing_many_shapes_agrees_with_pricing_one() -> None:
    shapes = enumerate_shapes(SpaceConfig(head_dim=[32, 64]), 4096, 5_000_000, 0.02)
    costs = price(shapes, synthetic_profile(), REQUEST)
    for index in np.random.default_rng(1).choice(len(shapes), 10, replace=False):
        one = predict(shapes.config(int(index), 512), synthetic_profile(), REQUEST)
        assert costs.decode_ms[index] == pytest.approx(one.decode_ms)
        assert costs.prefill_ms[index] == pytest.approx(one.prefill_ms)
        assert costs.memory_bytes[index] == pytest.approx(one.memory_mb * 2**20)


@pytest.mark.slow
def test_a_hundred_thousand_shapes_are_priced() -> None:
    config = SearchConfig.model_validate({"params": "100M", "vocab_size": 32768})
    shapes = enumerate_shapes(config.space, 32768, config.params, config.tolerance)
    costs = price(shapes, synthetic_profile(), config.request)
    assert len(shapes) >= 100_000
    assert len(costs.decode_ms) == len(shapes)
    assert np.all(np.isfinite(costs.decode_ms) & (costs.decode_ms > 0))
