from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from byte_llama import write_byte_llama
from phonelm.engine import load, resolve, store


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PHONELM_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_a_file_and_a_run_folder_are_found(tmp_path: Path) -> None:
    file = tmp_path / "run" / "model.gguf"
    file.parent.mkdir()
    file.write_bytes(b"GGUF")
    assert resolve(file) == file
    assert resolve(str(file.parent)) == file


def test_a_known_name_is_found_when_it_is_here(cache: Path) -> None:
    known = store.KNOWN["smollm2-135m-instruct"]
    with pytest.raises(FileNotFoundError, match="phonelm pull smollm2-135m-instruct"):
        resolve("SmolLM2-135M-Instruct")
    path = store.kept_path(known)
    path.parent.mkdir(parents=True)
    with path.open("wb") as file:
        file.truncate(known.size_bytes)
    assert resolve("SmolLM2-135M-Instruct") == path


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    return write_byte_llama(tmp_path / "tiny-llama")


def test_a_hugging_face_folder_gives_its_own_logits(checkpoint: Path) -> None:
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    with load(checkpoint) as model:
        ids = model.tokenizer.encode("The sea")
        ours = model.logits(ids)
    with torch.no_grad():
        theirs = transformers.AutoModelForCausalLM.from_pretrained(checkpoint)(torch.tensor([ids])).logits[0]
    np.testing.assert_allclose(ours, theirs.numpy(), rtol=0, atol=2e-3)


def test_a_hugging_face_folder_is_converted_once_for_each_state(checkpoint: Path, cache: Path) -> None:
    first = resolve(checkpoint)
    made = first.stat().st_mtime_ns
    assert resolve(checkpoint) == first
    assert first.stat().st_mtime_ns == made
    os.utime(checkpoint / "config.json", ns=(0, 0))
    second = resolve(checkpoint)
    assert second != first
    assert list((cache / "converted").iterdir()) == [second]


def test_what_is_nothing_here_is_refused_with_the_choices(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no model at nowhere\.gguf.*smollm2-135m-instruct"):
        resolve("nowhere.gguf")
    with pytest.raises(FileNotFoundError, match=r"neither model\.gguf"):
        resolve(tmp_path)


@pytest.mark.parametrize("num_threads", [0, -1, 1000, 2**40])
def test_a_number_of_threads_out_of_range_is_refused(tiny_gguf: Path, num_threads: int) -> None:
    with pytest.raises(ValueError, match=f"^threads is {num_threads}; take 1 to 256$"):
        load(tiny_gguf, num_threads=num_threads)


def test_a_context_of_any_size_is_refused_by_its_own_reason(tiny_gguf: Path) -> None:
    for context_length in (0, -5, 2**40):
        with pytest.raises(ValueError, match="out of range; this model takes 1 to 96"):
            load(tiny_gguf, context_length=context_length)


def test_an_adapter_of_peft_is_no_model(tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text("{}")
    with pytest.raises(ValueError, match=r"is an adapter that peft saved, not a model; .* adapters=\["):
        resolve(tmp_path)


def test_a_name_of_bytes_that_are_no_utf8(tiny_gguf: Path, tmp_path: Path) -> None:
    path = tmp_path / "model-\udcff.gguf"
    path.write_bytes(tiny_gguf.read_bytes())
    assert load(path).config == load(tiny_gguf).config
    missing = tmp_path / "none-\udcff.gguf"
    with pytest.raises((OSError, ValueError), match="none-"):
        load(missing)
