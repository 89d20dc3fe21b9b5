from pathlib import Path
from typing import Any

import numpy as np
import pytest

from phonelm.arch import DecoderConfig
from phonelm.arch.tensors import model_tensors
from phonelm.formats import write_gguf, write_random_gguf
from phonelm.formats.gguf_config import gguf_form
from phonelm.formats.gguf_outline import check_written
from shapes import TINY

GEMMA = TINY.model_copy(
    update={"activation": "gelu_tanh", "qk_norm": "head", "post_norm": True, "scale_embedding": True}
)


@pytest.mark.parametrize(
    ("meant", "found", "message"),
    [
        (TINY, {"vocab_size": 320}, "vocab_size = 320"),
        (TINY, {"tie_embeddings": False}, "head.tied = False"),
        (TINY, {"activation": "relu"}, "layers.0.ffn.activation = relu"),
        (TINY, {"bias": "qkv"}, "layers.0.mixer.bias = qkv"),
        (TINY, {"norm_eps": 1e-6}, "layers.0.norm.eps = 1e-06"),
        (GEMMA, {"sliding_window": 64, "sliding_layers": (False, True)}, "layers.1.mixer.window = 64"),
    ],
)
def test_every_difference_is_named(
    tmp_path: Path, meant: DecoderConfig, found: dict[str, Any], message: str
) -> None:
    path = tmp_path / "model.gguf"
    write_random_gguf(path, meant.model_copy(update=found))
    with pytest.raises(ValueError, match=message):
        check_written(path, gguf_form(meant).understood)
    write_random_gguf(path, meant)
    check_written(path, gguf_form(meant).understood)


def test_a_file_that_would_be_read_otherwise_is_not_left(tmp_path: Path) -> None:
    form = gguf_form(TINY)
    metadata = form.keys | {"tokenizer.ggml.tokens": [f"token {i}" for i in range(280)]}
    arrays = [(tensor.name, np.ones(tensor.shape, np.float32)) for tensor in model_tensors(TINY)]
    with pytest.raises(ValueError, match="a decoder with vocab_size = 280"):
        write_gguf(tmp_path / "a", metadata, arrays, lambda path: check_written(path, form.understood))
    assert list(tmp_path.iterdir()) == []
