from __future__ import annotations

import pytest

from phonelm.search import conventional_shapes


def sizes(name: str, vocab_size: int, params: int, tolerance: float) -> tuple[object, ...]:
    c = conventional_shapes(vocab_size, params, tolerance)[name].config(0, 2048)
    mixer, width = c.layers[0].mixer, c.layers[0].ffn.intermediate_size
    return (c.num_layers, c.hidden_size, mixer.num_heads, mixer.num_kv_heads, mixer.head_dim, width)


def test_at_their_own_size_the_families_give_back_the_published_shapes() -> None:
    assert sizes("SmolLM2-135M", 49152, 134_515_008, 0.001) == (30, 576, 9, 3, 64, 1536)
    assert sizes("MobileLLM-125M", 32000, 124_635_456, 0.001) == (30, 576, 9, 3, 64, 1536)
    # 12 layers of 768 with a plain FFN of 3072, without biases and learned positions.
    opt = 12 * (4 * 768**2 + 2 * 768 * 3072 + 2 * 768) + 768 + 50272 * 768
    assert sizes("OPT-125M", 50272, opt, 0.001) == (12, 768, 12, 12, 64, 3072)


@pytest.mark.parametrize("params", [3_000_000, 4_720_000, 20_000_000, 100_000_000, 300_000_000])
def test_all_keep_to_the_budget(params: int) -> None:
    found = conventional_shapes(4096, params, 0.02)
    assert set(found) == {"SmolLM2-135M", "MobileLLM-125M", "OPT-125M"}
    for shapes in found.values():
        assert abs(int(shapes.total[0]) - params) <= 0.02 * params


def test_mobilellm_keeps_its_depth() -> None:
    for params in (100_000_000, 200_000_000):
        assert sizes("MobileLLM-125M", 49152, params, 0.02)[0] == 30


def test_a_budget_too_small_for_any_has_none() -> None:
    assert conventional_shapes(49152, 5, 0.02) == {}
