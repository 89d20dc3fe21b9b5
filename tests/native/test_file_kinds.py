"""Sound GGUF files that are no models are called what they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
from tokenizer_files import write_tokenizer

from phonelm import _native
from phonelm.formats import write_gguf

LORA = {"adapter.type": "lora", "adapter.lora.alpha": 16.0}
KINDS: list[tuple[dict[str, Any], str]] = [
    ({"general.type": gguf.GGUFType.ADAPTER, **LORA}, r"is an adapter, not a model; .* adapters=\["),
    (LORA, "is an adapter, not a model"),
    ({"general.type": gguf.GGUFType.IMATRIX}, "is an importance matrix for quantization, not a model"),
    ({"general.type": gguf.GGUFType.MMPROJ}, r"sees or hears \(mmproj\), not the model"),
]


@pytest.mark.parametrize(("keys", "message"), KINDS)
def test_what_a_file_is_that_is_no_model(tmp_path: Path, keys: dict[str, Any], message: str) -> None:
    path = tmp_path / "other.gguf"
    tensors = [("blk.0.attn_q.weight.lora_a", np.ones((4, 64), np.float32))]
    write_gguf(path, {"general.architecture": "llama", **keys}, tensors)
    for read in (_native.Model.load, _native.describe):
        with pytest.raises(ValueError, match=message) as caught:
            read(str(path))
        assert "broken" not in str(caught.value)


def test_a_vocabulary_alone(tmp_path: Path, trained: tuple[list[str], list[str]]) -> None:
    path = write_tokenizer(tmp_path / "vocab.gguf", *trained)
    with pytest.raises(ValueError, match="is a vocabulary without weights, not a model"):
        _native.Model.load(str(path))
    assert _native.Tokenizer.from_gguf(str(path)).vocab_size == len(trained[0])


def test_a_model_may_say_that_it_is_one(tiny_gguf: Path) -> None:
    assert _native.read_metadata(str(tiny_gguf))["general.type"] == gguf.GGUFType.MODEL
    assert _native.Model.load(str(tiny_gguf), num_threads=1).file_bytes > 0
