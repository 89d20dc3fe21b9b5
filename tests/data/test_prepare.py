"""A corpus becomes a folder of tokens, whole or not at all."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from transformers import AutoTokenizer

from phonelm.data import DataConfig, DataManifest, prepare
from phonelm.data.config import STDLIB
from phonelm.progress import Progress


class Lines(Progress):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def line(self, text: str) -> None:
        self.lines.append(text)


def write_corpus(folder: Path, count: int = 40) -> list[str]:
    folder.mkdir(exist_ok=True)
    texts = [
        f"Document {n}: the number is {n * n}.\n<|endoftext|> is text here. Ünïcödé ☃ {'ab ' * (n % 7)}"
        for n in range(count)
    ]
    for n, text in enumerate(texts):
        (folder / f"{n}.txt").write_text(text, encoding="utf-8")
    return texts


def tokens_of(folder: Path, split: str) -> np.ndarray:
    shards = getattr(DataManifest.load(folder), split).shards
    return np.concatenate([np.fromfile(folder / shard.file, "<u2") for shard in shards])


def documents_of(folder: Path, split: str) -> list[str]:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    stream = tokens_of(folder, split).tolist()
    texts, start = [], 0
    for place, token in enumerate(stream):
        if token == tokenizer.eos_token_id:
            texts.append(tokenizer.decode(stream[start:place]))
            start = place + 1
    assert start == len(stream)
    return texts


def test_every_document_is_there_once_and_comes_back(tmp_path: Path) -> None:
    texts = write_corpus(tmp_path / "corpus")
    (tmp_path / "corpus" / "again.txt").write_text("  " + texts[3].replace(" ", "\n"), encoding="utf-8")
    (tmp_path / "corpus" / "blank.txt").write_text(" \n")
    config = DataConfig(source=str(tmp_path / "corpus"), vocab_size=400, valid_fraction=0.2)
    manifest = prepare(config, tmp_path / "data")
    train, valid = (documents_of(tmp_path / "data", split) for split in ("train", "valid"))
    assert manifest.duplicates == 1
    assert sorted(" ".join(t.split()) for t in train + valid) == sorted(" ".join(t.split()) for t in texts)
    assert 2 <= len(valid) <= 16
    assert (manifest.train.documents, manifest.valid.documents) == (len(train), len(valid))
    for split, found in (("train", train), ("valid", valid)):
        part = getattr(manifest, split)
        assert part.tokens == len(tokens_of(tmp_path / "data", split))
        assert part.bytes == sum(len(text.encode()) for text in found)
    assert json.loads((tmp_path / "data" / "data.json").read_text())["made"]["seed"] == 0


def test_the_same_corpus_gives_the_same_bytes_and_another_seed_another_split(tmp_path: Path) -> None:
    write_corpus(tmp_path / "corpus")
    config = DataConfig(source=str(tmp_path / "corpus"), vocab_size=300, valid_fraction=0.2)
    for name in "ab":
        prepare(config, tmp_path / name)
    prepare(config.model_copy(update={"seed": 1}), tmp_path / "c")
    for file in ("train-00000.bin", "valid-00000.bin", "tokenizer.json"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
    assert (tmp_path / "a" / "valid-00000.bin").read_bytes() != (
        tmp_path / "c" / "valid-00000.bin"
    ).read_bytes()
    contents = [DataManifest.load(tmp_path / name).content for name in "abc"]
    assert contents[0] == contents[1] != contents[2]


def test_prepared_data_is_left_alone_until_something_changes(tmp_path: Path) -> None:
    write_corpus(tmp_path / "corpus")
    config = DataConfig(source=str(tmp_path / "corpus"), vocab_size=300)
    first = prepare(config, tmp_path / "data")
    progress = Lines()
    assert prepare(config, tmp_path / "data", progress) == first
    assert progress.lines == [f"{tmp_path / 'data'} is prepared already"]
    (tmp_path / "corpus" / "new.txt").write_text("something else entirely")
    assert prepare(config, tmp_path / "data").fingerprint != first.fingerprint


def test_max_bytes_limits_the_text(tmp_path: Path) -> None:
    write_corpus(tmp_path / "corpus")
    config = DataConfig(source=str(tmp_path / "corpus"), vocab_size=300, max_bytes=1000)
    manifest = prepare(config, tmp_path / "data")
    assert 990 <= manifest.train.bytes + manifest.valid.bytes <= 1000


def test_one_long_document_is_encoded_in_pieces_and_its_end_held_out(tmp_path: Path) -> None:
    text = "".join(f"line {n} of many, {n % 13} and more\n" for n in range(30_000))
    (tmp_path / "book.txt").write_text(text)
    config = DataConfig(source=str(tmp_path / "book.txt"), vocab_size=300, valid_fraction=0.1)
    manifest = prepare(config, tmp_path / "data")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "data")
    stream = np.concatenate([tokens_of(tmp_path / "data", split) for split in ("train", "valid")])
    assert tokenizer.decode(stream[:-1].tolist()) == text
    assert stream[-1] == tokenizer.eos_token_id
    assert manifest.valid.tokens == pytest.approx(0.1 * len(stream), rel=0.01)
    assert manifest.train.bytes + manifest.valid.bytes == len(text)
    assert len(tokens_of(tmp_path / "data", "train")) == manifest.train.tokens


@pytest.mark.parametrize("text", ["", "  \n\n"])
def test_an_empty_corpus_is_refused_and_leaves_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.txt").write_text(text)
    with pytest.raises(ValueError, match="no text in"):
        prepare(DataConfig(source=str(tmp_path / "a.txt")), tmp_path / "out" / "data")
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError(28, "No space left on device")])
def test_an_interruption_leaves_nothing_and_keeps_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    write_corpus(tmp_path / "corpus")
    config = DataConfig(source=str(tmp_path / "corpus"), vocab_size=300)
    prepare(config, tmp_path / "data")
    before = {path.name: path.read_bytes() for path in (tmp_path / "data").iterdir()}

    def stop(*_: object) -> None:
        raise error

    monkeypatch.setattr("phonelm.data.shards.ShardWriter.append", stop)
    with pytest.raises(type(error) if isinstance(error, OSError) else error):
        prepare(config.model_copy(update={"seed": 5}), tmp_path / "data")
    assert {path.name: path.read_bytes() for path in (tmp_path / "data").iterdir()} == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["corpus", "data"]


def test_a_folder_with_other_things_is_not_replaced(tmp_path: Path) -> None:
    write_corpus(tmp_path / "corpus")
    with pytest.raises(ValueError, match="not empty"):
        prepare(DataConfig(source=str(tmp_path / "corpus"), vocab_size=300), tmp_path / "corpus")
    assert (tmp_path / "corpus" / "0.txt").exists()


def test_large_vocabularies_take_four_bytes_a_token(tmp_path: Path) -> None:
    write_corpus(tmp_path / "corpus")
    manifest = prepare(DataConfig(source=str(tmp_path / "corpus"), vocab_size=70_000), tmp_path / "data")
    shard = manifest.train.shards[0]
    assert (tmp_path / "data" / shard.file).stat().st_size == 4 * shard.tokens


@pytest.mark.slow
def test_the_standard_library_is_prepared(tmp_path: Path) -> None:
    manifest = prepare(DataConfig(source=STDLIB, max_bytes=4_000_000), tmp_path / "data")
    assert 3.9e6 < manifest.train.bytes + manifest.valid.bytes <= 4e6
    assert manifest.train.bytes / manifest.train.tokens > 3
    assert manifest.valid.documents > 0


def test_a_text_too_small_for_its_vocabulary_is_said_and_recorded(tmp_path: Path) -> None:
    write_corpus(tmp_path / "corpus", 6)
    config = DataConfig(source=str(tmp_path / "corpus"), vocab_size=2000)
    manifest = prepare(config, tmp_path / "data")
    names = AutoTokenizer.from_pretrained(tmp_path / "data").get_vocab()
    learned = sum(not name.startswith("<|unused_") for name in names)
    assert manifest.vocab_size == len(names) == 2000
    assert manifest.unused_tokens == 2000 - learned > 0
    assert DataManifest.load(tmp_path / "data").unused_tokens == manifest.unused_tokens
    assert f"enough for {learned} of the 2,000 tokens" in manifest.summary
    assert "enough" not in prepare(config.model_copy(update={"vocab_size": 270}), tmp_path / "d").summary
