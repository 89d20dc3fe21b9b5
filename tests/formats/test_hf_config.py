import math
from typing import Any

import numpy as np
import pytest

from phonelm.arch import DecoderConfig, preset
from phonelm.formats import config_from_hf, config_to_hf
from phonelm.formats.families.base import changed
from phonelm.formats.gguf_outline import differences

# config.json of the published mllmTeam/PhoneLM-1.5B.
PUBLISHED: dict[str, Any] = {
    "architectures": ["PhoneLMForCausalLM"],
    "auto_map": {"AutoConfig": "configuration_phonelm.PhoneLMConfig"},
    "attention_bias": False,
    "attention_dropout": 0.0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "hidden_act": "relu",
    "hidden_size": 2560,
    "initializer_range": 0.02,
    "intermediate_size": 6816,
    "max_position_embeddings": 2048,
    "model_type": "phonelm",
    "num_attention_heads": 16,
    "num_hidden_layers": 19,
    "num_key_value_heads": 16,
    "pretraining_tp": 1,
    "rms_norm_eps": 1e-06,
    "rope_scaling": None,
    "rope_theta": 10000.0,
    "tie_word_embeddings": True,
    "torch_dtype": "bfloat16",
    "use_cache": True,
    "vocab_size": 49152,
}


def test_the_published_phonelm_is_the_preset() -> None:
    assert config_from_hf(PUBLISHED) == preset("phonelm-1.5b")


@pytest.mark.parametrize(
    "config",
    [
        preset("phonelm-0.5b"),
        preset("smollm2-135m"),
        preset("smollm2-135m").model_copy(update={"ffn": "plain", "activation": "relu2", "head_dim": 48}),
        preset("smollm2-135m").model_copy(update={"activation": "relu", "tie_embeddings": False}),
    ],
)
def test_there_and_back(config: DecoderConfig) -> None:
    assert config_from_hf(config_to_hf(config)) == config


def with_parts(config: DecoderConfig, **parts: Any) -> DecoderConfig:
    return config.model_copy(update={"layers": [changed(layer, **parts) for layer in config.layers]})


GEMMA: dict[str, Any] = {
    "vocab_size": 64, "hidden_size": 672, "num_layers": 3, "num_heads": 4, "num_kv_heads": 2, "head_dim": 128,
    "intermediate_size": 64, "activation": "gelu_tanh", "qk_norm": "head", "post_norm": True,
    "scale_embedding": True,
}  # fmt: skip


@pytest.mark.parametrize(
    ("model_type", "config"),
    [
        ("gemma3_text", DecoderConfig(**GEMMA)),
        # What the core tells of the 27B model.
        ("gemma3_text", DecoderConfig(**GEMMA, attention_scale=float(np.float32(168**-0.5)))),
        ("llama", preset("smollm2-135m")),
        ("llama", with_parts(preset("smollm2-135m"), mixer={"bias": "all"}, ffn={"bias": True})),
    ],
)
def test_every_family_there_and_back(model_type: str, config: DecoderConfig) -> None:
    document = config_to_hf(config, model_type)
    assert not list(differences(config, config_from_hf(document)))
    assert document.get("query_pre_attn_scalar", 168) in (128, 168)


def test_what_a_config_json_cannot_tell_of_is_named() -> None:
    """An architecture's file may have biases where its config.json has no key for them."""
    base = preset("smollm2-135m")
    with pytest.raises(ValueError, match=r"of qwen2 cannot tell of layers\.0\.mixer\.bias = none"):
        config_to_hf(base, "qwen2")
    scaling = {"kind": "linear", "factor": 2.0, "magnitude": 1.5}
    scaled = with_parts(base, mixer={"rope": {"scaling": scaling}})
    with pytest.raises(ValueError, match=r"of llama cannot tell of layers\.0\.mixer\.rope\.scaling"):
        config_to_hf(scaled, "llama")


def test_llama_of_transformers_there_and_back() -> None:
    transformers = pytest.importorskip("transformers")
    config = preset("smollm2-135m")
    llama = transformers.LlamaConfig(**config_to_hf(config, "llama"))
    assert llama.rope_parameters["rope_theta"] == 1e5
    assert config_from_hf(llama.to_dict()) == config
    assert config_from_hf(llama.to_diff_dict()) == config


def test_our_own_configuration_class_there_and_back() -> None:
    pytest.importorskip("transformers")
    configuration = pytest.importorskip("phonelm.train.configuration")
    for name in ("phonelm-0.5b", "phonelm-1.5b"):
        config = preset(name)
        ours = configuration.PhoneLMConfig(**config_to_hf(config))
        assert config_from_hf(ours.to_dict()) == config
        assert config_from_hf(ours.to_diff_dict()) == config
    assert config_from_hf(configuration.PhoneLMConfig().to_diff_dict()) == preset("phonelm-0.5b")


def test_only_gated_silu_is_a_llama() -> None:
    with pytest.raises(ValueError, match="use phonelm"):
        config_to_hf(preset("phonelm-0.5b"), "llama")
    with pytest.raises(ValueError, match="model_type 'gpt2' is not supported"):
        config_to_hf(preset("smollm2-135m"), "gpt2")
    with pytest.raises(ValueError, match=r"embedding\.learned_positions = True"):
        config_to_hf(preset("opt-125m").model_copy(update={"norm": "rmsnorm"}))


LLAMA = PUBLISHED | {"model_type": "llama", "hidden_act": "silu"}
YARN: dict[str, Any] = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 512}


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"mscale": 0.7},
        {"mscale_all_dim": 0.7},
        {"mscale": 1.0, "mscale_all_dim": 0},
        {"mscale": 1.0, "mscale_all_dim": 1.0},
        {"mscale": 0.7, "mscale_all_dim": 1.3},
        {"attention_factor": 1.5},
        {"attention_factor": 1.5, "mscale": 0.7, "mscale_all_dim": 1.3},
        {"factor": 1.0, "mscale": 0.7, "mscale_all_dim": 1.3},
    ],
)
def test_what_yarn_scales_cos_and_sin_by_is_as_in_transformers(settings: dict[str, Any]) -> None:
    transformers = pytest.importorskip("transformers")
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    rope = {**YARN, "rope_theta": 10000.0, **settings}
    llama = transformers.LlamaConfig(max_position_embeddings=2048, rope_parameters=rope)
    _, expected = ROPE_INIT_FUNCTIONS["yarn"](llama, "cpu")
    found = config_from_hf(LLAMA | {"rope_parameters": rope}).layers[0].mixer.rope
    assert found is not None
    assert found.scaling is not None
    # The core multiplies by YaRN's own (native/graph/rope_scaling.cpp).
    own = 0.1 * math.log(rope["factor"]) + 1.0
    assert found.scaling.magnitude * own == pytest.approx(expected)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rope_scaling": {"rope_type": "dynamic", "factor": 2.0}}, r"scales RoPE \(dynamic\)"),
        ({"rope_scaling": {"rope_type": "yarn", "factor": 2.0}}, "lacks original_max_position_embeddings"),
        ({"rope_scaling": {"rope_type": "llama3"}}, "lacks factor"),
        ({"rope_scaling": YARN | {"attention_factor": 0.0}}, "scales cos and sin of RoPE by 0.0"),
        ({"rope_scaling": YARN | {"truncate": False}}, "does not truncate"),
        ({"model_type": "qwen2", "use_sliding_window": True}, "sets use_sliding_window"),
        ({"model_type": "gemma3_text", "final_logit_softcapping": 30.0}, "final_logit_softcapping"),
        ({"model_type": "gemma3_text", "use_bidirectional_attention": True}, "use_bidirectional_attention"),
        ({"model_type": "gemma3"}, "model_type 'gemma3' is not supported"),
        ({"model_type": "gemma3_text", "layer_types": ["full_attention"]}, "1 layer_types for 19 layers"),
        ({"model_type": "smollm3", "no_rope_layers": [1, 0]}, "2 no_rope_layers for 19 layers"),
        ({"partial_rotary_factor": 0.5}, "rotates a part of each head"),
        ({"model_type": "arcee", "layer_types": ["sliding_attention"]}, "sets use_sliding_window"),
        (
            {"model_type": "gemma3_text", "rope_parameters": {"sliding_attention": {"rope_type": "linear"}}},
            r"scales RoPE \(linear\) in layers with a window",
        ),
    ],
)
def test_what_other_model_types_lack_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        config_from_hf(LLAMA | change)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model_type": "gpt2"}, "model_type 'gpt2' is not supported"),
        ({"rope_scaling": {"type": "linear", "factor": 2.0}}, r"scales RoPE \(linear\)"),
        ({"rope_parameters": {"rope_type": "llama3", "rope_theta": 5e5}}, r"scales RoPE \(llama3\)"),
        ({"rope_parameters": {"rope_theta": 1e4, "partial_rotary_factor": 0.5}}, "rotates a part"),
        ({"attention_bias": True}, "sets attention_bias"),
        ({"mlp_bias": True}, "sets mlp_bias"),
        ({"hidden_act": "mish"}, "hidden_act 'mish'"),
        ({"rope_table": "int4"}, "rope_table 'int4'"),
        ({"hidden_size": None}, "lacks hidden_size"),
        ({"num_attention_heads": 0}, "num_attention_heads = 0; it must be a positive"),
        ({"vocab_size": "many"}, "vocab_size = 'many'; it must be a positive"),
        ({"num_key_value_heads": 5}, "not a multiple"),
    ],
)
def test_what_the_runtime_lacks_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        config_from_hf(PUBLISHED | change)
