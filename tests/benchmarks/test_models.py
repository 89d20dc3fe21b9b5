from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np
import pytest
from measures import models

from phonelm.arch import DecoderConfig
from phonelm.formats import write_random_gguf


@pytest.fixture
def source(tmp_path: Path) -> Path:
    config = DecoderConfig(
        vocab_size=320,
        hidden_size=64,
        num_layers=1,
        num_heads=2,
        num_kv_heads=1,
        head_dim=32,
        intermediate_size=96,
    )
    write_random_gguf(tmp_path / "source.gguf", config, "q4_1", "q8_0")
    return tmp_path / "source.gguf"


def test_a_twin_is_what_gguf_itself_would_quantize(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PHONELM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(models, "_known", lambda _name: source)
    twin = models.find(models.TWIN)
    old, new = gguf.GGUFReader(source), gguf.GGUFReader(twin)
    for before, after in zip(old.tensors, new.tensors, strict=True):
        assert (before.name, list(before.shape)) == (after.name, list(after.shape))
        if before.tensor_type.name != "Q4_1":
            assert np.array_equal(before.data, after.data)
            continue
        values = gguf.quants.dequantize(before.data, before.tensor_type)
        expected = gguf.quants.quantize(values, gguf.GGMLQuantizationType.Q4_0)
        assert after.tensor_type.name == "Q4_0"
        assert np.array_equal(after.data, expected)
    assert new.fields["general.file_type"].contents() == 2
    tokens = "tokenizer.ggml.tokens"
    assert old.fields[tokens].contents() == new.fields[tokens].contents()
    assert models.vocab_size(twin) == 320


def test_a_file_is_made_once(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHONELM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(models, "_known", lambda _name: source)
    first = models.find(models.TWIN)
    made = first.stat().st_mtime_ns
    assert models.find(models.TWIN).stat().st_mtime_ns == made
    assert list(first.parent.iterdir()) == [first]


def test_other_names_are_resolved(source: Path) -> None:
    assert models.find(str(source)) == source
    with pytest.raises(FileNotFoundError, match="no model at"):
        models.find("nothing.gguf")
