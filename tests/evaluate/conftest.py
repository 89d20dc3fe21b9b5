from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from phonelm.engine import Model, load
from phonelm.formats.gguf_reader import read_stored
from phonelm.formats.gguf_writer import LazyTensor, write_gguf

WORDS = "some words, 123 numbers and Ä ö 東京 "


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """A random llama's folder, and the model that transformers has of it."""
    pytest.importorskip("transformers")
    from test_graph import SHAPES, save_checkpoint

    folder = tmp_path_factory.mktemp("evaluate")
    return folder, save_checkpoint(folder, "llama", initializer_range=0.2, **SHAPES["gqa"])


@pytest.fixture(scope="session")
def f32_gguf(checkpoint: tuple[Path, Any]) -> Path:
    from test_graph import convert

    return convert(checkpoint[0])


@pytest.fixture(scope="session")
def q4_gguf(checkpoint: tuple[Path, Any]) -> Path:
    from test_graph import convert

    return convert(checkpoint[0], "q4_0")


@pytest.fixture(scope="session")
def bos_gguf(f32_gguf: Path) -> Path:
    """The same model, whose texts begin with a token of their own."""
    stored = read_stored(f32_gguf)
    metadata = {key: value for key, value in stored.metadata.items() if key != "general.alignment"}
    out = f32_gguf.with_name("bos.gguf")
    changed = {**metadata, "tokenizer.ggml.add_bos_token": True, "tokenizer.ggml.bos_token_id": 7}
    tensors = [(tensor.name, LazyTensor(tensor.type, tensor.shape, tensor.read)) for tensor in stored.tensors]
    write_gguf(out, changed, tensors)
    return out


@pytest.fixture
def model(f32_gguf: Path) -> Iterator[Model]:
    with load(f32_gguf) as loaded:
        yield loaded


@pytest.fixture
def bos_model(bos_gguf: Path) -> Iterator[Model]:
    with load(bos_gguf) as loaded:
        yield loaded


@pytest.fixture
def q4_model(q4_gguf: Path) -> Iterator[Model]:
    with load(q4_gguf) as loaded:
        yield loaded
