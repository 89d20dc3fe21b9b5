from __future__ import annotations

from pathlib import Path

import pytest

from phonelm.bench import check_file


def test_a_model_that_can_run_passes(tiny_gguf: Path) -> None:
    check_file(tiny_gguf, 90, 6)


def test_what_the_header_tells_is_refused(tiny_gguf: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"90 \+ 7 tokens exceed the context of .*model.gguf, 96"):
        check_file(tiny_gguf, 90, 7)
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(tiny_gguf.read_bytes()[:-5000])
    with pytest.raises(ValueError, match=r"cut.gguf: .*beyond the end of the file"):
        check_file(cut, 16, 8)
    other = tmp_path / "other.gguf"
    other.write_bytes(tiny_gguf.read_bytes().replace(b"llama", b"gemma"))
    with pytest.raises(ValueError, match=r"other.gguf: .*gemma.* not supported"):
        check_file(other, 16, 8)
    with pytest.raises(FileNotFoundError):
        check_file(tmp_path / "nothing.gguf", 16, 8)
