"""The tokenizer keys of GGUF to Hugging Face's tokenizer.json and tokenizer_config.json."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from phonelm.formats.byte_vocabulary import CONTROL, NORMAL, UNKNOWN, UNUSED, USER_DEFINED
from phonelm.formats.gguf_header import read_header
from phonelm.formats.gguf_reader import part_paths
from phonelm.formats.pre_tokenizers import pre_tokenizer_parts
from phonelm.formats.sentencepiece_import import sentencepiece_parts

if TYPE_CHECKING:
    from phonelm._native import Tokenizer

_ADDED = (CONTROL, UNKNOWN, USER_DEFINED)
_TEMPLATE = "tokenizer.chat_template"
_ID_KEYS = {"bos": "bos", "eos": "eos", "pad": "padding", "unk": "unknown"}
"""Hugging Face's names of special tokens, and GGUF's."""


@dataclass(frozen=True)
class ImportedTokenizer:
    """A GGUF file's tokenizer as the files of a checkpoint folder."""

    document: dict[str, Any]
    """tokenizer.json."""
    settings: dict[str, Any]
    """tokenizer_config.json, with the chat templates."""
    ids: dict[str, int | None]
    """`bos_token_id`, `eos_token_id` and `pad_token_id`."""
    stop_ids: list[int]
    """All tokens that end an answer, the first is that which ends a text."""


def import_tokenizer(path: Path, context_length: int) -> ImportedTokenizer:
    """The tokenizer of a GGUF file, by which Hugging Face's library makes the ids that the runtime makes.

    Raises `ValueError` for a file without a tokenizer or with one that the runtime or tokenizer.json lacks.
    """
    from phonelm import _native

    tokenizer = _native.Tokenizer.from_gguf(str(path))
    metadata = read_header(part_paths(path)[0]).metadata
    tokens: list[str] = metadata["tokenizer.ggml.tokens"]
    types: list[int] = metadata.get("tokenizer.ggml.token_type") or [NORMAL] * len(tokens)
    ids = {name: _special_id(metadata, key, len(tokens)) for name, key in _ID_KEYS.items()}
    named = {f"{name}_token": tokens[index] for name, index in ids.items() if index is not None}
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": context_length,
        "clean_up_tokenization_spaces": False,
        **named,
        **_chat_template(metadata),
    }
    document = _document(metadata, tokens, types, tokenizer)
    own = {f"{name}_token_id": ids[name] for name in ("bos", "eos", "pad")}
    return ImportedTokenizer(document, settings, own, list(tokenizer.stop_ids))


def _special_id(metadata: Mapping[str, Any], name: str, vocab_size: int) -> int | None:
    """None where the key is not there, or is llama.cpp's "no token": -1 in as many bits as the value has."""
    index = metadata.get(f"tokenizer.ggml.{name}_token_id")
    return index if isinstance(index, int) and 0 <= index < vocab_size else None


def _document(
    metadata: Mapping[str, Any], tokens: Sequence[str], types: Sequence[int], tokenizer: Tokenizer
) -> dict[str, Any]:
    if metadata["tokenizer.ggml.model"] == "llama":
        parts = sentencepiece_parts(metadata, tokens, types, tokenizer.add_space_prefix)
    else:
        parts = _byte_level_parts(metadata)
    vocab = {
        text: index for index, text in enumerate(tokens) if types[index] != UNUSED or text != f"[PAD{index}]"
    }
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": _added_tokens(tokens, types, tokenizer),
        **parts,
        "post_processor": _post_processor(parts["pre_tokenizer"], tokens, tokenizer),
        "model": {
            "type": "BPE",
            "dropout": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "ignore_merges": False,
            **parts["model"],
            "vocab": vocab,
        },
    }


def _byte_level_parts(metadata: Mapping[str, Any]) -> dict[str, Any]:
    # As the runtime, for files from before there was such a key.
    rule = pre_tokenizer_parts(_text(metadata, "tokenizer.ggml.pre") or "default")
    # A token's characters stand for bytes, a space is none of them.
    merges = [merge.split(" ", 1) for merge in _texts(metadata, "tokenizer.ggml.merges")]
    return {
        "normalizer": rule.normalizer,
        "pre_tokenizer": rule.pre_tokenizer,
        "decoder": _BYTE_LEVEL,
        "model": {
            "unk_token": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": rule.ignore_merges,
            "merges": merges,
        },
    }


_BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False}


def _added_tokens(tokens: Sequence[str], types: Sequence[int], tokenizer: Tokenizer) -> list[dict[str, Any]]:
    """The tokens that are cut out of a text; `special` are those that only a prompt's author may write.

    Which of them swallow white space is asked of the runtime, as it knows some without a key.
    """
    return [
        {
            "id": index,
            "content": text,
            "single_word": False,
            "lstrip": False,
            "rstrip": tokenizer.encode(f"{text} ", parse_special=True) == [index],
            "normalized": False,
            "special": kind != USER_DEFINED,
        }
        for index, (text, kind) in enumerate(zip(tokens, types, strict=True))
        if kind in _ADDED
    ]


def _post_processor(pre_tokenizer: Any, tokens: Sequence[str], tokenizer: Tokenizer) -> dict[str, Any] | None:
    steps = [_BYTE_LEVEL] if pre_tokenizer else []
    if tokenizer.add_bos:
        steps.append(_bos_first(tokens[tokenizer.bos_id], tokenizer.bos_id))
    if len(steps) < 2:
        return steps[0] if steps else None
    return {"type": "Sequence", "processors": steps}


def _bos_first(text: str, index: int) -> dict[str, Any]:
    def of(sequence: str, kind: int) -> list[dict[str, Any]]:
        return [
            {"SpecialToken": {"id": text, "type_id": kind}},
            {"Sequence": {"id": sequence, "type_id": kind}},
        ]

    return {
        "type": "TemplateProcessing",
        "single": of("A", 0),
        "pair": [*of("A", 0), *of("B", 1)],
        "special_tokens": {text: {"id": text, "ids": [index], "tokens": [text]}},
    }


def _chat_template(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """One template as a text, several by their names."""
    default = _text(metadata, _TEMPLATE)
    names = _texts(metadata, f"{_TEMPLATE}s")
    named = {name: text for name in names if (text := _text(metadata, f"{_TEMPLATE}.{name}"))}
    if not named:
        return {"chat_template": default} if default else {}
    templates = ({"default": default} if default else {}) | named
    return {"chat_template": [{"name": name, "template": text} for name, text in templates.items()]}


def _text(metadata: Mapping[str, Any], key: str) -> str | None:
    """As the runtime, a value of another type is none; bytes that are no UTF-8 are replaced."""
    text = metadata.get(key)
    if not isinstance(text, str):
        return None
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _texts(metadata: Mapping[str, Any], key: str) -> list[str]:
    texts = metadata.get(key)
    is_list = isinstance(texts, list) and all(isinstance(text, str) for text in texts)
    return texts if texts and is_list else []
