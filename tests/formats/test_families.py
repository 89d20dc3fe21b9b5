from typing import Any

import numpy as np
import pytest

from phonelm.arch import DecoderConfig
from phonelm.arch.tensors import TensorShape, model_tensors
from phonelm.formats.families import FAMILIES, Family, by_architecture
from phonelm.formats.gguf_config import gguf_form

GEMMA_27B = DecoderConfig(
    vocab_size=512,
    hidden_size=672,
    num_layers=62,
    num_heads=4,
    num_kv_heads=2,
    head_dim=128,
    intermediate_size=64,
    activation="gelu_tanh",
    qk_norm="head",
    post_norm=True,
    scale_embedding=True,
)


@pytest.mark.parametrize(
    ("change", "scale"),
    [
        ({"attention_scale": 168**-0.5}, 168**-0.5),
        ({"attention_scale": 0.2}, 0.2),
        ({}, 128**-0.5),
        ({"num_layers": 61}, 128**-0.5),
        ({"num_layers": 61, "attention_scale": 168**-0.5}, 168**-0.5),
    ],
)
def test_gemma_products_are_scaled_as_meant(change: dict[str, Any], scale: float) -> None:
    """What the reader scales by, times what went into the norm of queries."""
    config = GEMMA_27B.model_copy(update=change)
    form = gguf_form(config)
    implied = form.understood.layers[0].mixer.scale or 128**-0.5
    assert implied == pytest.approx((168 if config.num_layers == 62 else 128) ** -0.5)
    weights = np.zeros(128, np.float32)
    tensor = TensorShape("blk.5.attn_q_norm.weight", (128,), "vector")
    stored = form.family.stored_values(weights, tensor, config, form.understood)
    np.testing.assert_allclose(stored * implied, np.full(128, scale), rtol=1e-6)
    if scale == pytest.approx(implied):
        assert (stored == 1).all()


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.architecture)
def test_every_tensor_has_one_name(family: Family) -> None:
    config = GEMMA_27B.model_copy(update={"post_norm": "post_attention_norm" in family.tensor_names})
    names = [family.hf_name(tensor.name) for tensor in model_tensors(config)]
    assert len(set(names)) == len(names)


def test_interleaved_rows_are_those_of_files_that_llama_cpp_permutes() -> None:
    interleaved = {family.architecture for family in FAMILIES if family.interleaves_rows}
    assert interleaved == {"llama", "arcee", "smollm3"}
    rows = np.arange(128, dtype=np.float32)
    for name in ("llama", "qwen2"):
        family = by_architecture(name)
        assert family is not None
        tensor = TensorShape("blk.0.attn_k.bias", (128,), "vector")
        moved = family.stored_values(rows, tensor, GEMMA_27B, GEMMA_27B)
        assert (moved[:4].tolist() == [0, 64, 1, 65]) is (name == "llama")
