from pathlib import Path
from typing import Any

import pytest

from phonelm.arch import DecoderConfig, RopeScaling
from phonelm.formats import write_random_gguf
from phonelm.formats.gguf_description import check_description
from shapes import TINY

GEMMA = TINY.model_copy(
    update={"activation": "gelu_tanh", "qk_norm": "head", "post_norm": True, "scale_embedding": True}
)


@pytest.mark.parametrize(
    ("scaling", "message"),
    [
        (RopeScaling(kind="factors", magnitude=1.5), r"scaling\.magnitude is 1, not 1\.5"),
        (RopeScaling(kind="factors", factor=2.0), r"scaling\.factor is 1, not 2"),
        (RopeScaling(kind="linear", factor=2.0, beta_fast=24.0), r"scaling\.beta_fast is 32, not 24"),
    ],
)
def test_what_a_file_cannot_hold_is_refused_and_leaves_none(
    tmp_path: Path, scaling: RopeScaling, message: str
) -> None:
    config = TINY.model_copy(update={"rope_scaling": scaling})
    with pytest.raises(ValueError, match=rf"layers\[0\]\.mixer\.rope\.{message}"):
        write_random_gguf(tmp_path / "model.gguf", config)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "change",
    [
        {"rope_scaling": RopeScaling(kind="linear", factor=1.0)},
        {"rope_scaling": RopeScaling(kind="factors", factors=(1.0,) * 8)},
        {"rope_theta": 12345.678901, "norm_eps": 1.23456789e-5},
    ],
)
def test_what_makes_no_difference_to_a_file_is_none(tmp_path: Path, change: dict[str, Any]) -> None:
    path = tmp_path / "model.gguf"
    write_random_gguf(path, TINY.model_copy(update=change))
    assert path.is_file()


@pytest.mark.parametrize(
    ("meant", "found", "message"),
    [
        (TINY, {"vocab_size": 320}, "vocab_size is 320, not 288"),
        (TINY, {"num_layers": 3}, "layers is"),
        (TINY, {"tie_embeddings": False}, "head.tied is False, not True"),
        (TINY, {"activation": "relu"}, r"layers\[0\]\.ffn\.activation is relu, not silu"),
        (TINY, {"bias": "qkv"}, r"layers\[0\]\.mixer\.bias is qkv, not none"),
        (TINY, {"norm_eps": 1e-6}, r"layers\[0\]\.norm\.eps is 1e-06, not 1e-05"),
        (TINY, {"num_layers": 4, "rope_layers": (True, True, True, False)}, "layers is"),
        (GEMMA, {"sliding_window": 64, "sliding_layers": (False, True)}, r"layers\[1\]\.mixer\.window is 64"),
    ],
)
def test_every_difference_is_named(
    tmp_path: Path, meant: DecoderConfig, found: dict[str, Any], message: str
) -> None:
    path = tmp_path / "model.gguf"
    write_random_gguf(path, meant.model_copy(update=found))
    with pytest.raises(ValueError, match=message):
        check_description(path, meant)
