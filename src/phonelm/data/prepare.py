"""From a corpus to a folder of tokens: tokenizer, training and held-out shards, `data.json`."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from phonelm.data.config import DataConfig
from phonelm.data.folder import make_data_folder
from phonelm.data.manifest import DataManifest, Split
from phonelm.data.shards import ShardWriter, token_dtype
from phonelm.data.sources import documents, source_bytes, source_identity
from phonelm.data.split import is_held_out
from phonelm.data.tokenizer import END_OF_TEXT, num_unused, save_tokenizer, token_bytes, train_tokenizer
from phonelm.files import fingerprint
from phonelm.progress import Progress

if TYPE_CHECKING:
    from tokenizers import Tokenizer

PIECE_CHARACTERS = 1 << 18
"""Longer documents are encoded in pieces of about this length."""
BATCH_CHARACTERS = 1 << 20


def prepare(config: DataConfig, folder: Path | str, progress: Progress | None = None) -> DataManifest:
    """Make the data folder that `config` describes; a folder that is up to date is left alone.

    Writes `tokenizer.json`, `tokenizer_config.json`, `train-*.bin`, `valid-*.bin` and `data.json`, all
    at once or nothing. Documents are joined with `<|endoftext|>`, and held out by the hash of their text.
    Raises `ValueError` for sources that are missing, damaged or empty, `OSError` as the writes do.
    """
    folder, progress = Path(folder), progress or Progress()

    def write(staging: Path) -> dict[str, Any]:
        tokenizer = _make_tokenizer(config, staging, progress)
        parts = _write_shards(config, tokenizer, staging, progress)
        return {"vocab_size": config.vocab_size, "unused_tokens": num_unused(tokenizer), **parts}

    inputs = [[source_identity(source) for source in config.sources]]
    return make_data_folder(folder, config, inputs, write, progress)


@dataclass
class _Corpus:
    """Reads the documents once over: without blank ones and duplicates, up to the configured size."""

    config: DataConfig
    documents: int = 0
    duplicates: int = 0
    num_bytes: int = 0
    seen: set[bytes] = field(default_factory=set)

    def __iter__(self) -> Iterator[tuple[str, bytes]]:
        """Yield each document with the hash of its words."""
        limit = math.inf if self.config.max_bytes is None else self.config.max_bytes
        for text in (text for source in self.config.sources for text in documents(source)):
            if not (words := text.split()):
                continue
            digest = hashlib.blake2b(" ".join(words).encode(errors="replace"), digest_size=16).digest()
            if digest in self.seen:
                self.duplicates += 1
                continue
            self.seen.add(digest)
            # Lone surrogates, which JSON can hold and UTF-8 cannot, become question marks.
            encoded = text.encode(errors="replace")[: int(min(limit - self.num_bytes, len(text) * 4))]
            self.documents += 1
            self.num_bytes += len(encoded)
            yield encoded.decode(errors="ignore"), digest
            if self.num_bytes >= limit:
                return


def _make_tokenizer(config: DataConfig, folder: Path, progress: Progress) -> Tokenizer:
    corpus = _Corpus(config)
    with progress.bar("learn the vocabulary", config.tokenizer_bytes) as advance:

        def beginning() -> Iterator[str]:
            for text, _ in corpus:
                advance(len(text))
                yield text
                if corpus.num_bytes >= config.tokenizer_bytes:
                    return

        tokenizer = train_tokenizer(beginning(), config.vocab_size)
    if not corpus.documents:
        raise ValueError(f"no text in {', '.join(config.sources)}; name a source that holds some")
    save_tokenizer(tokenizer, folder)
    return tokenizer


def _write_shards(
    config: DataConfig, tokenizer: Tokenizer, folder: Path, progress: Progress
) -> dict[str, Any]:
    """Write both parts and return their fields of the manifest."""
    # Text that looks like a special token is text.
    tokenizer.encode_special_tokens = True
    end = tokenizer.token_to_id(END_OF_TEXT)
    assert end is not None
    corpus = _Corpus(config)
    counts = {"train": [0, 0], "valid": [0, 0]}
    total = config.max_bytes or source_bytes(config.sources)
    with (
        ShardWriter(folder, "train", config.vocab_size) as train,
        ShardWriter(folder, "valid", config.vocab_size) as valid,
        progress.bar("tokenize", max(total, 1)) as advance,
    ):
        writers = {"train": train, "valid": valid}
        for batch in _batches(_labelled_pieces(corpus)):
            encodings = tokenizer.encode_batch_fast([text for _, text, _ in batch], add_special_tokens=False)
            for (split, text, is_last), encoding in zip(batch, encodings, strict=True):
                writers[split].append([*encoding.ids, *([end] if is_last else [])])
                num_bytes = len(text.encode())
                counts[split][0] += is_last
                counts[split][1] += num_bytes
                advance(num_bytes)
    parts = {
        split: Split(shards=w.shards, documents=counts[split][0], tokens=w.tokens, bytes=counts[split][1])
        for split, w in writers.items()
    }
    if not valid.tokens:
        _hold_out_end(config, folder, parts)
    content = fingerprint(
        [train.digest.hexdigest(), valid.digest.hexdigest(), config.valid_fraction, config.seed]
    )
    return {**parts, "content": content, "duplicates": corpus.duplicates}


def _labelled_pieces(corpus: _Corpus) -> Iterator[tuple[str, str, bool]]:
    """Yield the part, the text, and whether a document ends with it."""
    for text, digest in corpus:
        # The first document is for training, so that there is some.
        config = corpus.config
        held_out = is_held_out(digest, config.valid_fraction, config.seed)
        split = "valid" if corpus.documents > 1 and held_out else "train"
        pieces = list(_pieces(text))
        for number, piece in enumerate(pieces, 1):
            yield split, piece, number == len(pieces)


def _pieces(text: str) -> Iterator[str]:
    """Cut a long document at ends of lines where it has some."""
    start = 0
    while start < len(text):
        stop = start + PIECE_CHARACTERS
        if stop < len(text):
            newline = text.rfind("\n", start + PIECE_CHARACTERS // 2, stop)
            stop = newline + 1 if newline > 0 else stop
        yield text[start:stop]
        start = stop


def _batches(pieces: Iterable[tuple[str, str, bool]]) -> Iterator[list[tuple[str, str, bool]]]:
    batch, size = [], 0
    for piece in pieces:
        batch.append(piece)
        size += len(piece[1])
        if size >= BATCH_CHARACTERS:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _hold_out_end(config: DataConfig, folder: Path, parts: dict[str, Split]) -> None:
    """Hold out the end of the training tokens, for a corpus of too few documents to draw from."""
    train = parts["train"]
    last, dtype = train.shards[-1], token_dtype(config.vocab_size)
    count = min(last.tokens, math.ceil(train.tokens * config.valid_fraction))
    path = folder / last.file
    tokens = np.fromfile(path, dtype)[last.tokens - count :]
    with ShardWriter(folder, "valid", config.vocab_size) as writer:
        writer.append(tokens)
    with path.open("r+b") as file:
        file.truncate((last.tokens - count) * dtype.itemsize)
    last.tokens -= count
    num_bytes = int(token_bytes(folder)[tokens].sum())
    parts["train"] = train.model_copy(
        update={"tokens": train.tokens - count, "bytes": train.bytes - num_bytes}
    )
    parts["valid"] = Split(shards=writer.shards, documents=0, tokens=count, bytes=num_bytes)
