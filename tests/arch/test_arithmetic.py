import pytest

from phonelm.arch import (
    DecoderConfig,
    count_parameters,
    flops_per_token,
    kv_bytes_per_token,
    preset,
    weight_bytes,
)

TINY = DecoderConfig(
    vocab_size=96,
    hidden_size=64,
    num_layers=3,
    num_heads=4,
    num_kv_heads=2,
    head_dim=16,
    intermediate_size=160,
    context_length=128,
)


def torch_parameters(**changes: object) -> int:
    """Parameters of the same decoder in transformers' own LLaMA."""
    transformers = pytest.importorskip("transformers")
    config = transformers.LlamaConfig(
        vocab_size=96,
        hidden_size=64,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=16,
        intermediate_size=160,
        **changes,
    )
    return sum(p.numel() for p in transformers.LlamaForCausalLM(config).parameters())


@pytest.mark.parametrize("tied", [True, False])
def test_parameters_equal_those_of_transformers(tied: bool) -> None:
    count = count_parameters(TINY.model_copy(update={"tie_embeddings": tied}))
    assert count.total == torch_parameters(tie_word_embeddings=tied)
    assert count.embedding == 96 * 64 * (1 if tied else 2)
    assert count.non_embedding == count.total - count.embedding


def test_biases_equal_those_of_transformers() -> None:
    count = count_parameters(TINY.model_copy(update={"bias": "all", "tie_embeddings": False}))
    assert count.total == torch_parameters(attention_bias=True, mlp_bias=True, tie_word_embeddings=False)


def test_decode_flops_by_hand() -> None:
    config = DecoderConfig(
        vocab_size=10, hidden_size=4, num_layers=1, num_heads=2, num_kv_heads=1, head_dim=2,
        intermediate_size=6,
    )  # fmt: skip
    matrices = 4 * 4 + 2 * (4 * 2) + 4 * 4 + 3 * (4 * 6)
    attention = 2 * 2 * 2 * 7  # scores and sum, 2 heads of 2 dimensions, 7 positions
    assert flops_per_token(config, 7, "decode") == 2 * (matrices + attention + 40)


def test_prefill_is_the_mean_over_a_prompt() -> None:
    context = 50
    steps = [flops_per_token(TINY, position, "decode") for position in range(1, context + 1)]
    heads = 2 * TINY.vocab_size * TINY.hidden_size * (context - 1)  # only the last token needs logits
    assert flops_per_token(TINY, context, "prefill") * context == pytest.approx(sum(steps) - heads)


def test_a_shared_ffn_costs_one_matrix_of_bytes_and_all_layers_of_work() -> None:
    shared = TINY.model_copy(update={"shared_ffn": True})
    assert flops_per_token(shared, 8, "decode") == flops_per_token(TINY, 8, "decode")
    assert count_parameters(TINY).total - count_parameters(shared).total == 2 * 3 * 64 * 160


def test_no_context_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one token"):
        flops_per_token(TINY, 0, "decode")


def test_weight_bytes_of_f32_are_four_a_parameter() -> None:
    for name in ("phonelm-0.5b", "phonelm-1.5b", "smollm2-135m", "OPT-125M", "OpenELM-1.1B"):
        config = preset(name)
        assert weight_bytes(config, "f32", "f32") == 4 * count_parameters(config).total


def test_weight_bytes_fall_back_to_f16_where_blocks_do_not_fit() -> None:
    odd = TINY.model_copy(update={"intermediate_size": 150})
    down = 3 * 64 * 150
    others = count_parameters(odd).non_embedding - down - 7 * 64
    expected = others * 18 // 32 + down * 2 + 7 * 64 * 4 + 96 * 64 * 34 // 32
    assert weight_bytes(odd, "q4_0", "q8_0") == expected


def test_kv_bytes() -> None:
    assert kv_bytes_per_token(preset("phonelm-0.5b")) == 96 * 1024
    assert kv_bytes_per_token(preset("phonelm-1.5b")) == 190 * 1024
    assert kv_bytes_per_token(TINY, "q8_0") == 3 * 2 * 2 * (16 + 2)


@pytest.mark.parametrize(
    "call", [lambda: weight_bytes(TINY, "iq2_xs"), lambda: kv_bytes_per_token(TINY, "q4_0")]
)
def test_unknown_types_are_refused(call: object) -> None:
    with pytest.raises(ValueError, match=r"unknown .* type"):
        call()  # type: ignore[operator]


def test_a_window_bounds_what_attention_costs() -> None:
    full = preset("smollm2-135m")
    flags = (True,) * 10 + (False,) * 20
    config = full.model_copy(update={"sliding_window": 8, "sliding_layers": flags})
    unseen = sum(seen - min(seen, 8) for seen in range(1, 101)) / 100
    saved = flops_per_token(full, 100, "prefill") - flops_per_token(config, 100, "prefill")
    assert saved == pytest.approx(4 * 10 * full.layers[0].mixer.query_width * unseen)
    saved = flops_per_token(full, 100, "decode") - flops_per_token(config, 100, "decode")
    assert saved == pytest.approx(4 * 10 * full.layers[0].mixer.query_width * 92)
