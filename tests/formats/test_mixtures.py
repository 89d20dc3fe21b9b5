import pytest

from phonelm.arch import DecoderConfig
from phonelm.arch.tensors import model_tensors
from phonelm.formats.mixtures import KINDS, PlannedTensor, describe_fallbacks, file_type_number, plan_types

gguf = pytest.importorskip("gguf")


def plan(kind: str, embedding_type: str | None = None, **sizes: int | bool) -> dict[str, PlannedTensor]:
    shape = {"hidden_size": 512, "num_layers": 16, "num_heads": 8, "num_kv_heads": 2, "head_dim": 64,
             "intermediate_size": 1024, "vocab_size": 300, "tie_embeddings": False}  # fmt: skip
    config = DecoderConfig.model_validate(shape | sizes)
    heads = config.layers[0].mixer.num_heads // config.layers[0].mixer.num_kv_heads
    return {
        planned.tensor.name: planned
        for planned in plan_types(list(model_tensors(config)), kind, embedding_type, heads)
    }


def layers_of(found: dict[str, PlannedTensor], part: str, stored: str) -> list[int]:
    return [
        int(name.split(".")[1])
        for name, planned in found.items()
        if name.endswith(f".{part}.weight") and planned.stored == stored
    ]


MORE_BITS = [0, 1, 4, 7, 10, 13, 14, 15]
"""Of 16 layers the first and last eighth, and every third between: those of llama-quantize."""


@pytest.mark.parametrize(
    ("kind", "base", "values", "down", "projection"),
    [
        ("q2_k", "q2_k", {"q4_k": range(16)}, {"q3_k": range(16)}, "q3_k"),
        ("q3_k_s", "q3_k", {"q3_k": range(16)}, {"q3_k": range(16)}, "q3_k"),
        ("q3_k_m", "q3_k", {"q5_k": range(2), "q4_k": range(2, 16)},
         {"q5_k": [0], "q4_k": range(1, 16)}, "q4_k"),
        ("q3_k_l", "q3_k", {"q5_k": range(16)}, {"q5_k": range(16)}, "q5_k"),
        ("q4_k_s", "q4_k", {"q5_k": range(4), "q4_k": range(4, 16)},
         {"q5_k": range(2), "q4_k": range(2, 16)}, "q4_k"),
        ("q4_k_m", "q4_k", {"q6_k": MORE_BITS}, {"q6_k": MORE_BITS}, "q4_k"),
        ("q5_k_s", "q5_k", {"q5_k": range(16)}, {"q5_k": range(16)}, "q5_k"),
        ("q5_k_m", "q5_k", {"q6_k": MORE_BITS}, {"q6_k": MORE_BITS}, "q5_k"),
        ("q6_k", "q6_k", {"q6_k": range(16)}, {"q6_k": range(16)}, "q6_k"),
        ("iq4_nl", "iq4_nl", {"q5_k": range(16)}, {"q5_k": range(2), "iq4_nl": range(2, 16)}, "iq4_nl"),
    ],
)  # fmt: skip
def test_mixtures_are_those_of_llama_quantize(
    kind: str, base: str, values: dict[str, list[int]], down: dict[str, list[int]], projection: str
) -> None:
    found = plan(kind)
    for part, expected in (("attn_v", values), ("ffn_down", down), ("attn_output", {projection: range(16)})):
        for stored, layers in expected.items():
            assert layers_of(found, part, stored) == list(layers), (part, stored)
    for part in ("attn_q", "attn_k", "ffn_gate", "ffn_up"):
        assert layers_of(found, part, base) == list(range(16))
    assert found["token_embd.weight"].stored == base
    assert found["output.weight"].stored == "q6_k"
    assert found["output_norm.weight"].stored == found["blk.3.attn_norm.weight"].stored == "f32"


def test_an_embedding_that_is_the_head_too_has_its_type() -> None:
    assert plan("q4_k_m", tie_embeddings=True)["token_embd.weight"].stored == "q6_k"
    assert plan("q4_0", tie_embeddings=True)["token_embd.weight"].stored == "q8_0"
    assert plan("q2_k", "q5_1", tie_embeddings=True)["token_embd.weight"].stored == "q5_1"
    assert plan("f16")["output.weight"].stored == "f16"


def test_more_heads_to_share_values_get_more_bits() -> None:
    assert plan("q2_k", num_kv_heads=4)["blk.0.attn_v.weight"].stored == "q3_k"
    assert plan("iq4_nl", num_kv_heads=4)["blk.0.attn_v.weight"].stored == "iq4_nl"


@pytest.mark.parametrize(
    ("kind", "small"),
    [("q2_k", "q4_0"), ("q3_k_s", "q4_0"), ("q4_k_s", "q5_0"), ("q5_k_s", "q5_1"), ("q6_k", "q8_0")],
)
def test_columns_that_do_not_fill_blocks(kind: str, small: str) -> None:
    found = plan(kind, hidden_size=288, head_dim=36, intermediate_size=1024)
    assert found["blk.5.ffn_up.weight"].stored == small
    assert found["output.weight"].stored == "q8_0"
    assert found["blk.5.ffn_down.weight"].stored.endswith("_k")
    lines = describe_fallbacks(list(found.values()))
    base = kind.removesuffix("_s").upper()
    assert any(f"{small.upper()} instead of {base}" in line and "multiple of 256" in line for line in lines)
    odd = plan(kind, hidden_size=300, head_dim=38)["blk.5.ffn_up.weight"]
    assert (odd.stored, odd.wanted) == ("f16", base.lower())


def test_numbers_of_file_types() -> None:
    for kind in KINDS:
        if kind in ("q5_k", "q4_k", "q3_k"):
            continue
        name = {"f32": "ALL_F32"}.get(kind, f"MOSTLY_{kind.upper()}")
        assert file_type_number(kind) == gguf.LlamaFileType[name]


def test_names() -> None:
    def stored(kind: str) -> list[str]:
        return [planned.stored for planned in plan(kind).values()]

    assert stored("Q4_K") == stored("q4_k_m")
    with pytest.raises(ValueError, match=r"unknown weight type 'q7_k'; choose one of f32.*q4_k_m"):
        plan("q7_k")
    with pytest.raises(ValueError, match="unknown weight type 'q4_k_m'"):
        plan("q4_0", "q4_k_m")
