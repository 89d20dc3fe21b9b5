from typing import Any

import pytest

from phonelm.arch import DecoderConfig, RopeScaling, preset
from phonelm.formats.families import FAMILIES, by_architecture
from phonelm.formats.gguf_config import config_metadata, gguf_architecture, gguf_form, lacking_features

SMOL = preset("smollm2-135m")
NOPE = (True, True, True, False) * 7 + (True, True)
GEMMA: dict[str, Any] = {
    "activation": "gelu_tanh",
    "qk_norm": "head",
    "post_norm": True,
    "scale_embedding": True,
}
SIXTH = tuple(layer % 6 < 5 for layer in range(30))
THIRD = tuple(layer % 3 < 2 for layer in range(30))


@pytest.mark.parametrize(
    ("change", "arch"),
    [
        ({}, "llama"),
        ({"tie_embeddings": False, "head_dim": 48}, "llama"),
        ({"ffn": "plain", "activation": "relu2"}, "arcee"),
        ({"ffn": "plain"}, "phonelm"),
        ({"activation": "relu"}, "phonelm"),
        ({"activation": "relu2"}, "phonelm"),
        ({"ffn": "plain", "activation": "relu2", "rope_table": "int8"}, "phonelm"),
        ({"rope_table": "int8"}, "phonelm"),
        ({"bias": "qkv"}, "qwen2"),
        ({"bias": "all"}, "llama"),
        ({"bias": "ffn"}, "llama"),
        ({"bias": "attention"}, "llama"),
        ({"rope_scaling": RopeScaling(kind="linear", factor=4.0)}, "llama"),
        ({"rope_scaling": RopeScaling(kind="yarn", factor=4.0, original_context=2048)}, "llama"),
        ({"rope_scaling": RopeScaling(kind="factors")}, "llama"),
        ({"fused_projections": True, "sliding_window": 2047, "rope_fraction": 0.75}, "phi3"),
        ({"fused_projections": True, "rope_fraction": 0.16}, "phi3"),  # 10.24 dimensions
        (
            {
                "fused_projections": True,
                "rope_scaling": RopeScaling(kind="longrope", original_context=512, magnitude=1.19),
            },
            "phi3",
        ),
        ({"rope_layers": NOPE}, "smollm3"),
        ({"qk_norm": "head"}, "qwen3"),
        ({"qk_norm": "head", "bias": "qkv"}, "qwen3"),
        (GEMMA, "gemma3"),
        ({**GEMMA, "sliding_window": 512, "sliding_layers": SIXTH, "sliding_rope_theta": 5e3}, "gemma3"),
        ({**GEMMA, "sliding_window": 512, "sliding_layers": THIRD}, "gemma3"),
    ],
)
def test_the_core_understands_what_is_meant(change: dict[str, Any], arch: str) -> None:
    config = SMOL.model_copy(update=change)
    form = gguf_form(config)
    assert gguf_architecture(config) == form.family.architecture == arch
    assert config_metadata(config)["general.architecture"] == arch
    assert not list(lacking_features(config))


def test_every_family_writes_some_decoder() -> None:
    assert len({family.architecture for family in FAMILIES}) == len(FAMILIES)
    assert len({family.model_type for family in FAMILIES}) == len(FAMILIES)
    assert all(by_architecture(family.architecture) is family for family in FAMILIES)
    assert by_architecture("mamba") is None


def test_a_pattern_is_written_only_where_the_core_would_have_another() -> None:
    key = "gemma3.attention.sliding_window_pattern"
    windows = {**GEMMA, "sliding_window": 512}
    usual = config_metadata(SMOL.model_copy(update={**windows, "sliding_layers": SIXTH}))
    other = config_metadata(SMOL.model_copy(update={**windows, "sliding_layers": THIRD}))
    assert key not in usual
    assert other[key] == list(THIRD)
    assert usual["gemma3.attention.sliding_window"] == other["gemma3.attention.sliding_window"] == 512


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sliding_window": 64}, "llama decoders with layers.mixer.window = 64"),
        ({"rope_fraction": 0.5}, r"llama decoders with layers.mixer.rope.fraction = 0\.5"),
        ({"qk_norm": "full"}, "llama decoders with layers.mixer.qk_norm = full"),
        ({"rope_layers": (False,) * 30}, r"smollm3 decoders with layers\.0\.mixer\.rope = None"),
        ({"rope_layers": (True, False) * 15}, r"smollm3 decoders with layers\.1\.mixer\.rope = None"),
        (
            {"bias": "qkv", "qk_norm": "head", "scale_embedding": True},
            "qwen3 decoders with embedding.scaled = True",
        ),
        ({"activation": "gelu"}, "llama decoders with layers.ffn.activation = gelu"),
        ({"post_norm": True}, "llama decoders with layers.residual.post_norm = True"),
        ({"num_heads": (9,) * 29 + (3,)}, "llama decoders with layers = different ones"),
        (
            {**GEMMA, "intermediate_size": (1536,) * 29 + (64,)},
            "gemma3 decoders with layers = different ones",
        ),
        ({"norm": "layernorm_no_bias"}, "llama decoders with layers.norm.kind = layernorm_no_bias"),
        ({"rope_interleaved": True}, "llama decoders with layers.mixer.rope.interleaved = True"),
        (
            {"activation": "relu", "rope_scaling": RopeScaling(kind="linear", factor=2.0)},
            "llama decoders with layers.ffn.activation = relu",
        ),
        (
            {"rope_scaling": RopeScaling(kind="factors", magnitude=2.0)},
            "llama decoders with layers.0.mixer.rope.scaling.magnitude = 2",
        ),
    ],
)
def test_mixtures_that_have_no_name_are_refused(change: dict[str, Any], message: str) -> None:
    config = SMOL.model_copy(update=change)
    with pytest.raises(ValueError, match=f"the runtime has no {message}"):
        gguf_architecture(config)
    assert any(lacking_features(config))


@pytest.mark.parametrize("kind", ["linear", "yarn"])
def test_a_factor_of_one_is_no_scaling(kind: Any) -> None:
    scaling = RopeScaling(kind=kind, factor=1.0, original_context=2048 if kind == "yarn" else None)
    form = gguf_form(SMOL.model_copy(update={"rope_scaling": scaling}))
    assert form.understood == SMOL


@pytest.mark.parametrize("name", ["OPT-125M", "OpenELM-270M", "Pythia-160M", "Gemma-2B"])
def test_decoders_of_another_kind_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"the runtime has no \w+ decoders with"):
        config_metadata(preset(name))


def test_what_is_understood_is_equal_in_float32() -> None:
    config: DecoderConfig = SMOL.model_copy(update={"norm_eps": 1e-6 + 1e-18, "rope_theta": 123456.789})
    understood = gguf_form(config).understood
    assert understood.norm.eps == 1e-6
    rope = understood.layers[0].mixer.rope
    assert rope is not None
    assert rope.theta == 123456.79
