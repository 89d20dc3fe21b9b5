"""Hugging Face's tokenizer.json of SentencePiece's kind (BPE with byte fallback) to GGUF's model `llama`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from phonelm.formats.byte_vocabulary import BYTE, CONTROL, NORMAL, UNKNOWN, UNUSED, USER_DEFINED

SPACE = "\u2581"
_BYTES = tuple(f"<0x{byte:02X}>" for byte in range(256))
REPLACE = {"type": "Replace", "pattern": {"String": " "}, "content": SPACE}
PREPEND = {"type": "Prepend", "prepend": SPACE}
# Cuts at spaces, of which the normalizer has left none.
_NO_CUT = {"type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious", "invert": False}


def sentencepiece_metadata(document: Mapping[str, Any], vocab_size: int) -> dict[str, Any]:
    """The `tokenizer.ggml.*` keys of model, tokens, types, scores and spacing.

    A token's score is minus its place among the merges' results. Raises `ValueError` for merges that scores
    can not express, and for spacing that the runtime does not know.
    """
    model = document["model"]
    _refuse_missing_bytes(model["vocab"])
    merges = [
        tuple(merge.split(" ")) if isinstance(merge, str) else tuple(merge) for merge in model["merges"]
    ]
    added = {int(token["id"]): token for token in document.get("added_tokens", ())}
    tokens, types = _tokens_and_types(model, added, vocab_size)
    pieces = {text for text, kind in zip(tokens, types, strict=True) if kind == NORMAL}
    scores = _scores([merge for merge in merges if {*merge, "".join(merge)} <= pieces], pieces)
    return {
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.pre": "default",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.scores": [scores.get(text, -float(len(scores))) for text in tokens],
        "tokenizer.ggml.token_type": types,
        "tokenizer.ggml.add_space_prefix": _adds_space(document),
    }


def _refuse_missing_bytes(vocab: Mapping[str, int]) -> None:
    # Gemma has the character itself instead of the token of byte 9.
    missing = [
        text
        for byte, text in enumerate(_BYTES)
        if text not in vocab and (byte > 0x7F or chr(byte) not in vocab)
    ]
    if missing:
        raise ValueError(f"tokenizer.json falls back to bytes but has no token {missing[0]}")


def _tokens_and_types(
    model: Mapping[str, Any], added: Mapping[int, Mapping[str, Any]], vocab_size: int
) -> tuple[list[str], list[int]]:
    tokens = [f"[PAD{index}]" for index in range(vocab_size)]
    types = [UNUSED] * vocab_size
    for text, index in model["vocab"].items():
        tokens[index], types[index] = text, BYTE if text in _BYTES else NORMAL
    for index, token in added.items():
        # llama.cpp looks for user-defined tokens in the text as it is, before spaces are escaped.
        special = bool(token.get("special"))
        tokens[index] = token["content"] if special else token["content"].replace(SPACE, " ")
        types[index] = CONTROL if special else USER_DEFINED
    unknown = model.get("unk_token")
    if unknown in model["vocab"]:
        types[model["vocab"][unknown]] = UNKNOWN
    return tokens, types


def _scores(merges: Iterable[tuple[str, ...]], pieces: set[str]) -> dict[str, float]:
    """Scores under which merging by score is merging by rank.

    That needs all merges of one piece to stand together, and each pair of pieces that makes a piece.
    """
    scores: dict[str, float] = {}
    splits: dict[str, set[str]] = {}
    last = ""
    for left, right in merges:
        text = left + right
        if text != last and text in scores:
            raise ValueError(
                f"tokenizer.json merges to {text!r} in places apart, which is not SentencePiece's"
            )
        scores.setdefault(text, -float(len(scores)))
        splits.setdefault(text, set()).add(left)
        last = text
    for text in pieces:
        lefts = {text[:cut] for cut in range(1, len(text)) if text[:cut] in pieces and text[cut:] in pieces}
        if lefts != splits.get(text, set()):
            raise ValueError(f"tokenizer.json lacks a merge to {text!r}, so it is not SentencePiece's")
    return scores


def _adds_space(document: Mapping[str, Any]) -> bool:
    normalizer, cut = document.get("normalizer"), document.get("pre_tokenizer")
    if cut is None or cut == _NO_CUT:
        if normalizer == REPLACE:
            return False
        if normalizer == {"type": "Sequence", "normalizers": [PREPEND, REPLACE]}:
            return True
    if normalizer is None and isinstance(cut, dict) and cut.get("type") == "Metaspace":
        scheme = cut.get("prepend_scheme")
        if cut.get("replacement") == SPACE and not cut.get("split", True) and scheme in ("always", "never"):
            return bool(scheme == "always")
    raise ValueError(
        f"the normalizer {normalizer} with the pre-tokenizer {cut} is not supported; "
        "use a model with the tokenizer of Gemma, Llama 2 or Phi-3"
    )
