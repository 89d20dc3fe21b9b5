from __future__ import annotations

import warnings
from pathlib import Path

import pytest

from phonelm.engine import ModelFileWarning, load


def test_a_file_that_names_no_pre_tokenizer_warns(tiny_gguf: Path, tmp_path: Path) -> None:
    path = tmp_path / "nameless.gguf"
    path.write_bytes(tiny_gguf.read_bytes().replace(b"tokenizer.ggml.pre", b"tokenizer.ggml.prX"))
    with pytest.warns(ModelFileWarning, match=r"^nameless\.gguf names no pre-tokenizer"):
        load(path, num_threads=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load(tiny_gguf, num_threads=1)
