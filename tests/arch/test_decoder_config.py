from typing import Any

import pytest

from phonelm.arch import DecoderConfig

SHAPE: dict[str, Any] = {
    "vocab_size": 300,
    "hidden_size": 64,
    "num_layers": 2,
    "num_heads": 4,
    "num_kv_heads": 2,
    "head_dim": 16,
    "intermediate_size": 96,
}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_kv_heads": 3}, "not a multiple"),
        ({"num_heads": (4, 4, 4)}, "3 entries for 2 layers"),
        ({"hidden_size": 0}, "greater than 0"),
        ({"intermediate_size": (96, 0)}, "greater than 0"),
        ({"rope_fraction": 0.0625}, "must be even"),
        ({"shared_norm": True}, "parallel_residual"),
        ({"hiden_size": 64}, "Extra inputs"),
        ({"sliding_window": 0}, "greater than 0"),
        ({"sliding_window": 8, "sliding_layers": (True,)}, "sliding_layers has 1 entries for 2 layers"),
        ({"rope_layers": (True, False, True)}, "rope_layers has 3 entries"),
        ({"rope_scaling": {"kind": "yarn", "factor": 4.0}}, "yarn needs original_context"),
        ({"rope_scaling": {"kind": "linear", "factor": -1.0}}, "greater than 0"),
        ({"rope_scaling": {"kind": "factors", "factors": (1.0,) * 7}}, "8 frequencies and 7 factors"),
        ({"rope_scaling": {"kind": "factors", "factors": (0.0,) * 8}}, "must be positive"),
    ],
)
def test_impossible_shapes_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DecoderConfig(**(SHAPE | change))


def test_sizes_by_layer() -> None:
    config = DecoderConfig(**(SHAPE | {"num_heads": (2, 4), "intermediate_size": (64, 96)}))
    first, second = config.layers
    assert (second.mixer.num_heads, second.mixer.num_kv_heads, first.ffn.intermediate_size) == (4, 2, 64)
    assert config.uniform_layer is None
    uniform = DecoderConfig(**(SHAPE | {"intermediate_size": (96, 96)}))
    assert uniform.uniform_layer == uniform.layers[1]


def test_windows_and_ropes_by_layer() -> None:
    config = DecoderConfig(**(SHAPE | {"sliding_window": 8, "sliding_layers": (True, False)}))
    assert [layer.mixer.window for layer in config.layers] == [8, None]
    assert config.layers[1].mixer.rope is not None
    assert DecoderConfig(**(SHAPE | {"sliding_window": 8})).layers[1].mixer.window == 8


def test_survives_json() -> None:
    config = DecoderConfig(**SHAPE)
    assert DecoderConfig.model_validate_json(config.model_dump_json()) == config
