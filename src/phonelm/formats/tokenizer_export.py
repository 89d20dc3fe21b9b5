"""Hugging Face's tokenizer.json (byte-level BPE) to the tokenizer keys of GGUF."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from phonelm.files import read_json
from phonelm.formats.byte_vocabulary import CONTROL, NORMAL, UNUSED, USER_DEFINED

_DIGITS = {"type": "Digits", "individual_digits": True}


def tokenizer_metadata(folder: Path, vocab_size: int) -> dict[str, Any]:
    """The `tokenizer.*` keys for a checkpoint folder.

    Reads tokenizer.json, tokenizer_config.json, config.json, generation_config.json and chat_template.jinja.
    Ids below `vocab_size` that the tokenizer lacks become unused tokens `[PADn]`. Raises `ValueError` for a
    tokenizer that is not byte-level BPE with a known pre-tokenizer, or that has more tokens than the model.
    """
    if not (folder / "tokenizer.json").is_file():
        raise ValueError(f"{folder} has no tokenizer.json; save the model's tokenizer there")
    document = read_json(folder / "tokenizer.json")
    _refuse_unknown_parts(document)
    settings = _optional_json(folder / "tokenizer_config.json")
    tokens, types = _vocabulary(document, vocab_size)
    metadata: dict[str, Any] = {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": _pre_tokenizer(document.get("pre_tokenizer")),
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": types,
        "tokenizer.ggml.merges": _merges(document["model"]),
        **_special_ids(folder, settings, tokens),
    }
    bos = metadata.get("tokenizer.ggml.bos_token_id")
    metadata["tokenizer.ggml.add_bos_token"] = bos is not None and _adds_bos(document, settings, tokens[bos])
    if template := _chat_template(folder, settings):
        metadata["tokenizer.chat_template"] = template
    return metadata


def _refuse_unknown_parts(document: Any) -> None:
    model = document.get("model") if isinstance(document, dict) else None
    if not isinstance(model, dict) or model.get("type", "BPE") != "BPE" or not model.get("vocab"):
        raise ValueError("tokenizer.json is not a BPE tokenizer; only byte-level BPE is supported")
    if document.get("normalizer"):
        raise ValueError("tokenizer.json normalizes text, which the runtime does not support")
    for key in (
        "byte_fallback",
        "ignore_merges",
        "dropout",
        "continuing_subword_prefix",
        "end_of_word_suffix",
    ):
        if model.get(key):
            raise ValueError(f"tokenizer.json sets {key}, which the runtime does not support")
    for token in document.get("added_tokens", ()):
        if any(token.get(key) for key in ("lstrip", "rstrip", "single_word")):
            raise ValueError(
                f"added token {token['content']!r} strips its neighbours, which is not supported"
            )


def _pre_tokenizer(part: Any) -> str:
    steps = part["pretokenizers"] if isinstance(part, dict) and part.get("type") == "Sequence" else [part]
    if steps and _is_byte_level(steps[-1]):
        if len(steps) == 1:
            return "gpt-2"
        if len(steps) == 2 and steps[0] == _DIGITS:
            return "smollm"
    kinds = " + ".join(str(step.get("type")) if isinstance(step, dict) else str(step) for step in steps)
    raise ValueError(
        f"pre-tokenizer {kinds} is not supported; use ByteLevel without prefix space, alone or after Digits"
    )


def _is_byte_level(step: Any) -> bool:
    return isinstance(step, dict) and (
        step.get("type"),
        step.get("add_prefix_space"),
        step.get("use_regex"),
    ) in (
        ("ByteLevel", False, True),
        ("ByteLevel", False, None),
    )


def _vocabulary(document: dict[str, Any], vocab_size: int) -> tuple[list[str], list[int]]:
    by_id = {int(index): text for text, index in document["model"]["vocab"].items()}
    added = {int(token["id"]): token for token in document.get("added_tokens", ())}
    by_id |= {index: token["content"] for index, token in added.items()}
    if max(by_id) >= vocab_size:
        raise ValueError(
            f"the tokenizer has a token {max(by_id)}, the model only {vocab_size}; wrong tokenizer?"
        )
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


def _chat_template(folder: Path, settings: Mapping[str, Any]) -> str | None:
    if (folder / "chat_template.jinja").is_file():
        return (folder / "chat_template.jinja").read_text(encoding="utf-8")
    template = settings.get("chat_template")
    if isinstance(template, list):
        named = {entry["name"]: entry["template"] for entry in template}
        template = named.get("default")
    return template if isinstance(template, str) else None


def _optional_json(path: Path) -> dict[str, Any]:
    document = read_json(path) if path.is_file() else {}
    if not isinstance(document, dict):
        raise ValueError(f"{path} is not a JSON object; fetch it again")
    return document
