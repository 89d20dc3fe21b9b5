"""Hugging Face's tokenizer.json (byte-level BPE, or SentencePiece's) to the tokenizer keys of GGUF."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from phonelm.files import read_json
from phonelm.formats.byte_vocabulary import CONTROL, NORMAL, UNUSED, USER_DEFINED
from phonelm.formats.pre_tokenizers import pre_tokenizer_name
from phonelm.formats.sentencepiece_export import sentencepiece_metadata


def tokenizer_metadata(folder: Path, vocab_size: int) -> dict[str, Any]:
    """The `tokenizer.*` keys for a checkpoint folder.

    Reads tokenizer.json, tokenizer_config.json, config.json, generation_config.json, chat_template.jinja and
    additional_chat_templates.
    Ids below `vocab_size` that the tokenizer lacks become unused tokens `[PADn]`. Raises `ValueError` for a
    tokenizer that is not byte-level BPE with a known pre-tokenizer or SentencePiece's BPE, or that has more
    tokens than the model.
    """
    if not (folder / "tokenizer.json").is_file():
        raise ValueError(f"{folder} has no tokenizer.json; save the model's tokenizer there")
    document = read_json(folder / "tokenizer.json")
    _refuse_unknown_parts(document)
    settings = _optional_json(folder / "tokenizer_config.json")
    _refuse_more_tokens(document, vocab_size)
    make = sentencepiece_metadata if document["model"].get("byte_fallback") else _byte_level_metadata
    metadata = make(document, vocab_size)
    tokens = metadata["tokenizer.ggml.tokens"]
    metadata |= _special_ids(folder, settings, tokens) | _stripping(document)
    bos = metadata.get("tokenizer.ggml.bos_token_id")
    metadata["tokenizer.ggml.add_bos_token"] = bos is not None and _adds_bos(document, settings, tokens[bos])
    return metadata | _chat_templates(folder, settings)


def _refuse_unknown_parts(document: Any) -> None:
    model = document.get("model") if isinstance(document, dict) else None
    if not isinstance(model, dict) or model.get("type", "BPE") != "BPE" or not model.get("vocab"):
        raise ValueError(
            "tokenizer.json is not a BPE tokenizer; only BPE (byte-level, or SentencePiece's) is supported"
        )
    for key in ("dropout", "continuing_subword_prefix", "end_of_word_suffix"):
        if model.get(key):
            raise ValueError(f"tokenizer.json sets {key}, which the runtime does not support")
    for token in document.get("added_tokens", ()):
        for key in ("lstrip", "single_word"):
            if token.get(key):
                raise ValueError(f"added token {token['content']!r} sets {key}, which is not supported")


def _refuse_more_tokens(document: Mapping[str, Any], vocab_size: int) -> None:
    ids = [*document["model"]["vocab"].values(), *(token["id"] for token in document.get("added_tokens", ()))]
    if max(ids) >= vocab_size:
        raise ValueError(
            f"the tokenizer has a token {max(ids)}, the model only {vocab_size}; wrong tokenizer?"
        )


def _stripping(document: Mapping[str, Any]) -> dict[str, list[int]]:
    """Tokens after which white space is dropped; a key of PhoneLM's own, GGUF has none."""
    ids = [int(token["id"]) for token in document.get("added_tokens", ()) if token.get("rstrip")]
    return {"phonelm.tokenizer.rstrip_token_ids": ids} if ids else {}


def _byte_level_metadata(document: Mapping[str, Any], vocab_size: int) -> dict[str, Any]:
    model = document["model"]
    tokens, types = _vocabulary(document, vocab_size)
    return {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": pre_tokenizer_name(
            document.get("pre_tokenizer"), document.get("normalizer"), bool(model.get("ignore_merges"))
        ),
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": types,
        "tokenizer.ggml.merges": _merges(model),
    }


def _vocabulary(document: Mapping[str, Any], vocab_size: int) -> tuple[list[str], list[int]]:
    by_id = {int(index): text for text, index in document["model"]["vocab"].items()}
    added = {int(token["id"]): token for token in document.get("added_tokens", ())}
    by_id |= {index: token["content"] for index, token in added.items()}
    types = [NORMAL if index in by_id else UNUSED for index in range(vocab_size)]
    for index, token in added.items():
        types[index] = CONTROL if token.get("special") else USER_DEFINED
    return [by_id.get(index, f"[PAD{index}]") for index in range(vocab_size)], types


def _merges(model: Mapping[str, Any]) -> list[str]:
    """Merges as "a b"; newer files hold pairs."""
    return [merge if isinstance(merge, str) else " ".join(merge) for merge in model.get("merges", ())]


def _special_ids(folder: Path, settings: Mapping[str, Any], tokens: list[str]) -> dict[str, int]:
    """Ids that generation_config.json, config.json or tokenizer_config.json name, in this order.

    A second end token (PhoneLM's configuration and tokenizer disagree) becomes the end of a turn.
    """
    sources = [_optional_json(folder / name) for name in ("generation_config.json", "config.json")]
    ids: dict[str, int] = {}
    for key, kind in (("bos", "bos"), ("eos", "eos"), ("pad", "padding"), ("unk", "unknown")):
        found = [index for source in sources for index in _as_list(source.get(f"{key}_token_id"))]
        text = settings.get(f"{key}_token")
        text = text.get("content") if isinstance(text, dict) else text
        found += [tokens.index(text)] if text in tokens else []
        valid = list(dict.fromkeys(index for index in found if 0 <= index < len(tokens)))
        if valid:
            ids[f"tokenizer.ggml.{kind}_token_id"] = valid[0]
        if key == "eos" and len(valid) > 1:
            ids["tokenizer.ggml.eot_token_id"] = valid[1]
    return ids


def _as_list(value: Any) -> list[int]:
    values = value if isinstance(value, list) else [value]
    return [index for index in values if isinstance(index, int)]


def _adds_bos(document: Mapping[str, Any], settings: Mapping[str, Any], bos: str) -> bool:
    if isinstance(settings.get("add_bos_token"), bool):
        return bool(settings["add_bos_token"])
    part = document.get("post_processor") or {}
    steps = part.get("processors", [part]) if part.get("type") == "Sequence" else [part]
    first = [
        step["single"][0] for step in steps if step.get("type") == "TemplateProcessing" and step["single"]
    ]
    return any(piece.get("SpecialToken", {}).get("id") == bos for piece in first)


def _chat_templates(folder: Path, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The chat templates under GGUF's keys; the one that is not for a purpose of its own is the default."""
    found = _templates_of_settings(settings.get("chat_template"))
    if (folder / "chat_template.jinja").is_file():
        found["default"] = (folder / "chat_template.jinja").read_text(encoding="utf-8")
    for path in sorted((folder / "additional_chat_templates").glob("*.jinja")):
        found[path.stem] = path.read_text(encoding="utf-8")
    default = found.pop("default", None)
    # As the gguf package spells names.
    named = {re.sub("[^a-zA-Z0-9]", "_", name): template for name, template in found.items()}
    metadata: dict[str, Any] = {"tokenizer.chat_template": default} if default else {}
    if named:
        metadata["tokenizer.chat_templates"] = list(named)
    return metadata | {f"tokenizer.chat_template.{name}": template for name, template in named.items()}


def _templates_of_settings(given: Any) -> dict[str, str]:
    if given is None or isinstance(given, str):
        return {"default": given} if given else {}
    named: dict[str, str] = {}
    for entry in given if isinstance(given, list) else [given]:
        name, template = (entry.get(key) if isinstance(entry, dict) else None for key in ("name", "template"))
        if not isinstance(name, str) or not isinstance(template, str):
            raise ValueError(
                "chat_template in tokenizer_config.json is neither a text nor a list of "
                '{"name": ..., "template": ...}; correct it'
            )
        named[name] = template
    return named


def _optional_json(path: Path) -> dict[str, Any]:
    document = read_json(path) if path.is_file() else {}
    if not isinstance(document, dict):
        raise ValueError(f"{path} is not a JSON object; fetch it again")
    return document
