"""Which tokens begin and end a text, from the files of a checkpoint folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from phonelm.files import read_json

MORE_STOPS = "phonelm.tokenizer.stop_token_ids"
"""A key of PhoneLM's own: GGUF has keys for three tokens that end an answer."""
_END_KEYS = ("eos", "eot", "eom")


def special_token_metadata(
    folder: Path, settings: Mapping[str, Any], tokens: Sequence[str], first: str | None
) -> dict[str, Any]:
    """The keys of the tokens that begin, end, pad and replace a text.

    A template prints the tokenizer's own, which tokenizer_config.json (`settings`) names, so these go before
    those of the model's configurations. Whatever the tokenizer or generation_config.json (without one,
    config.json) ends a text with ends an answer. `first` is the token that the tokenizer puts before a text.
    """
    sources = [optional_json(folder / name) for name in ("generation_config.json", "config.json")]
    names = _token_names(folder, settings)

    def found(name: str, default: str | None = None) -> list[int]:
        own = [tokens.index(text) for text in (_text(names, name), default) if text in tokens][:1]
        if not own and name != "eos" and _has_none(names, name):
            return []
        return list(dict.fromkeys([*own, *_configured(sources, name, len(tokens))]))

    begins, pads, unknown = found("bos", first), found("pad"), found("unk")
    ends = found("eos")
    ids = {"bos": begins[:1], "padding": pads[:1], "unknown": unknown[:1]}
    ids |= {key: ends[place : place + 1] for place, key in enumerate(_END_KEYS)}
    keys: dict[str, Any] = {f"tokenizer.ggml.{key}_token_id": one[0] for key, one in ids.items() if one}
    more = ends[len(_END_KEYS) :]
    return keys | ({MORE_STOPS: more} if more else {})


def optional_json(path: Path) -> dict[str, Any]:
    """A JSON object, empty where the file is not there; `ValueError` for another document."""
    document = read_json(path) if path.is_file() else {}
    if not isinstance(document, dict):
        raise ValueError(f"{path} is not a JSON object; fetch it again")
    return document


def _token_names(folder: Path, settings: Mapping[str, Any]) -> dict[str, Any]:
    """As transformers: special_tokens_map.json counts in folders from before `added_tokens_decoder`."""
    if "added_tokens_decoder" in settings:
        return dict(settings)
    return {**settings, **optional_json(folder / "special_tokens_map.json")}


def _text(names: Mapping[str, Any], name: str) -> str | None:
    text = names.get(f"{name}_token")
    text = text.get("content") if isinstance(text, dict) else text
    return text if isinstance(text, str) else None


def _has_none(names: Mapping[str, Any], name: str) -> bool:
    """Whether the tokenizer has no such token: it says so, or is of the class that names none by itself."""
    key = f"{name}_token"
    if key in names:
        return names[key] is None
    return names.get("tokenizer_class") in ("PreTrainedTokenizerFast", "TokenizersBackend")


def _configured(sources: Sequence[Mapping[str, Any]], name: str, vocab_size: int) -> list[int]:
    """The ids of the first configuration that has some."""
    for source in sources:
        value = source.get(f"{name}_token_id")
        values = value if isinstance(value, list) else [value]
        ids = [index for index in values if type(index) is int and 0 <= index < vocab_size]
        if ids:
            return ids
    return []
