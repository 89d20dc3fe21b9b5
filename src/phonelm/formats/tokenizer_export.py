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
from phonelm.formats.special_tokens import optional_json, special_token_metadata
from phonelm.progress import Progress


def tokenizer_metadata(folder: Path, vocab_size: int, progress: Progress | None = None) -> dict[str, Any]:
    """The `tokenizer.*` keys for a checkpoint folder.

    Reads tokenizer.json, tokenizer_config.json, special_tokens_map.json, config.json, generation_config.json,
    chat_template.jinja and additional_chat_templates. Ids below `vocab_size` that the tokenizer lacks become
    unused tokens `[PADn]`; added tokens beyond it are left out, which `progress` is told. Raises `ValueError`
    for a tokenizer that is not byte-level BPE with a known pre-tokenizer or SentencePiece's BPE, or that has
    more tokens of its own than the model.
    """
    if not (folder / "tokenizer.json").is_file():
        raise ValueError(f"{folder} has no tokenizer.json; save the model's tokenizer there")
    document = read_json(folder / "tokenizer.json")
    _refuse_unknown_parts(document)
    settings = optional_json(folder / "tokenizer_config.json")
    document = _within(document, vocab_size, progress or Progress())
    make = sentencepiece_metadata if document["model"].get("byte_fallback") else _byte_level_metadata
    metadata = make(document, vocab_size)
    tokens, first = metadata["tokenizer.ggml.tokens"], _first_token(document)
    metadata |= special_token_metadata(folder, settings, tokens, first) | _stripping(document)
    bos = metadata.get("tokenizer.ggml.bos_token_id")
    metadata["tokenizer.ggml.add_bos_token"] = bos is not None and _adds_bos(settings, tokens[bos] == first)
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


def _within(document: Mapping[str, Any], vocab_size: int, progress: Progress) -> dict[str, Any]:
    """The tokenizer without added tokens that the model has no row for; llama.cpp leaves them out too.

    Of Gemma 3, for one, the small models have the tokenizer of those that see, and not its token for images.
    """
    added = document.get("added_tokens", ())
    beyond = {token["content"]: token["id"] for token in added if token["id"] >= vocab_size}
    vocab = {text: index for text, index in document["model"]["vocab"].items() if beyond.get(text) != index}
    if max(vocab.values(), default=0) >= vocab_size:
        raise ValueError(
            f"the tokenizer has a token {max(vocab.values())}, the model only {vocab_size}; wrong tokenizer?"
        )
    if beyond:
        more = f" and {len(beyond) - 3} more" if len(beyond) > 3 else ""
        named = ", ".join(list(beyond)[:3]) + more
        progress.line(f"left out, as the model has {vocab_size} tokens: {named}; as text they stay text")
    kept = [token for token in added if token["id"] < vocab_size]
    return {**document, "added_tokens": kept, "model": {**document["model"], "vocab": vocab}}


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


def _adds_bos(settings: Mapping[str, Any], is_put_first: bool) -> bool:
    told = settings.get("add_bos_token")
    return told if isinstance(told, bool) else is_put_first


def _first_token(document: Mapping[str, Any]) -> str | None:
    """The token that the tokenizer puts before a text."""
    part = document.get("post_processor") or {}
    steps = part.get("processors", [part]) if part.get("type") == "Sequence" else [part]
    for step in steps:
        if step.get("type") == "TemplateProcessing" and step["single"]:
            text = step["single"][0].get("SpecialToken", {}).get("id")
            if isinstance(text, str):
                return text
    return None


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
