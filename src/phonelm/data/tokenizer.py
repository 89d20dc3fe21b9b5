"""Byte-level BPE: trained on the corpus, saved as Hugging Face reads it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from phonelm.files import read_json, write_json

if TYPE_CHECKING:
    from tokenizers import Tokenizer

END_OF_TEXT = "<|endoftext|>"
TURN_START = "<|im_start|>"
TURN_END = "<|im_end|>"
UNUSED = "<|unused_"
"""How the tokens begin that fill a vocabulary which the text was too small for."""
SPECIALS = (END_OF_TEXT, TURN_START, TURN_END)
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json")
"""Those that each tokenizer has."""
_MORE_FILES = ("chat_template.jinja", "special_tokens_map.json", "added_tokens.json", "tokenizer.model")

_BYTE = re.compile(r"<0x[0-9A-F]{2}>")

CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
"""ChatML."""


def train_tokenizer(texts: Iterable[str], vocab_size: int) -> Tokenizer:
    """Train a tokenizer with exactly `vocab_size` tokens: 0 to 2 special, then bytes, then merges.

    Digits are split one by one, as in the PhoneLM and SmolLM tokenizers; a text too small for so many merges
    leaves unused special tokens at the end.
    """
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), byte_level]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=list(SPECIALS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer=trainer)
    missing = vocab_size - tokenizer.get_vocab_size()
    tokenizer.add_special_tokens([AddedToken(f"{UNUSED}{n}|>", special=True) for n in range(missing)])
    assert tokenizer.get_vocab_size() == vocab_size
    return tokenizer


def save_tokenizer(tokenizer: Tokenizer, folder: Path, context_length: int = 2048) -> None:
    """Write the two files that `AutoTokenizer.from_pretrained(folder)` reads."""
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": END_OF_TEXT,
        "eos_token": END_OF_TEXT,
        "unk_token": END_OF_TEXT,
        "pad_token": END_OF_TEXT,
        "add_bos_token": False,
        "add_prefix_space": False,
        "clean_up_tokenization_spaces": False,
        "model_max_length": context_length,
        "chat_template": CHAT_TEMPLATE,
    }
    write_json(folder / "tokenizer_config.json", config)


def present_tokenizer_files(folder: Path) -> list[Path]:
    """The files of a Hugging Face folder's tokenizer. Raises `ValueError` where it has none."""
    missing = [name for name in TOKENIZER_FILES if not (folder / name).is_file()]
    if missing:
        raise ValueError(f"{folder} has no {missing[0]}; save its tokenizer there in the fast form")
    return [folder / name for name in (*TOKENIZER_FILES, *_MORE_FILES) if (folder / name).is_file()]


def num_unused(tokenizer: Tokenizer) -> int:
    """How many tokens of a vocabulary stand for nothing, as the text held too little to learn them from."""
    added = tokenizer.get_added_tokens_decoder().values()
    return sum(token.content.startswith(UNUSED) for token in added)


def special_ids(folder: Path) -> tuple[int, int, int]:
    """Ids of the end of a text, the start of a turn and the end of a turn in a saved tokenizer."""
    vocabulary = {token["content"]: token["id"] for token in _read(folder)["added_tokens"]}
    missing = [token for token in SPECIALS if token not in vocabulary]
    if missing:
        raise ValueError(f"{folder / 'tokenizer.json'} has no token {missing[0]}; prepare the data again")
    end_of_text, turn_start, turn_end = (vocabulary[token] for token in SPECIALS)
    return end_of_text, turn_start, turn_end


def token_bytes(folder: Path) -> NDArray[np.int64]:
    """Bytes of text each token of a saved tokenizer stands for, int64 [vocab]; special tokens have none."""
    document = _read(folder)
    entries = document["model"]["vocab"]
    # Unigram models list pairs of piece and score.
    vocabulary = entries if isinstance(entries, dict) else {e[0]: n for n, e in enumerate(entries)}
    specials = {token["id"] for token in document["added_tokens"] if token["special"]}
    added = {token["content"]: token["id"] for token in document["added_tokens"]}
    by_bytes = _is_byte_level(document)
    lengths = np.zeros(max([*vocabulary.values(), *added.values()]) + 1, np.int64)
    for token, number in {**vocabulary, **added}.items():
        # In byte-level BPE every character of a token's name is one byte.
        is_bytes = by_bytes and token not in added
        lengths[number] = 0 if number in specials else len(token) if is_bytes else _piece_bytes(token)
    return lengths


def _is_byte_level(document: dict[str, Any]) -> bool:
    return '"ByteLevel"' in json.dumps([document.get("pre_tokenizer"), document.get("decoder")])


def _piece_bytes(piece: str) -> int:
    """Of a SentencePiece: `<0x0A>` is a byte, `▁` a space."""
    if _BYTE.fullmatch(piece):
        return 1
    return len(piece.replace("\u2581", " ").encode())


def _read(folder: Path) -> dict[str, Any]:
    document: dict[str, Any] = read_json(folder / "tokenizer.json")
    return document
