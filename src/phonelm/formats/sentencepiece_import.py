"""GGUF's tokenizer model `llama` (SentencePiece's BPE) to the parts of Hugging Face's tokenizer.json."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from phonelm.formats.byte_vocabulary import BYTE, NORMAL, UNKNOWN
from phonelm.formats.sentencepiece_export import PREPEND, REPLACE, SPACE


def sentencepiece_parts(
    metadata: Mapping[str, Any], tokens: Sequence[str], types: Sequence[int], add_space_prefix: bool
) -> dict[str, Any]:
    """Normalizer, decoder and the model but for its vocabulary.

    The merges stand in the order of their results' scores. Raises `ValueError` for a vocabulary without
    tokens of bytes, and for merges to pieces of one score: tokenizer.json cannot say that the leftmost comes
    first.
    """
    if BYTE not in types:
        raise ValueError("the tokenizer falls back to no bytes, which phonelm import does not support")
    unknown = next((text for text, kind in zip(tokens, types, strict=True) if kind == UNKNOWN), None)
    scores = {
        text: score
        for text, kind, score in zip(tokens, types, metadata["tokenizer.ggml.scores"], strict=True)
        if kind == NORMAL
    }
    return {
        "normalizer": {"type": "Sequence", "normalizers": [PREPEND, REPLACE]}
        if add_space_prefix
        else REPLACE,
        "pre_tokenizer": None,
        "decoder": _decoder(add_space_prefix),
        "model": {"unk_token": unknown, "fuse_unk": True, "byte_fallback": True, "merges": _merges(scores)},
    }


def _merges(scores: Mapping[str, float]) -> list[list[str]]:
    """Every cut of a piece into two pieces, the best piece first.

    Of one score the leftmost pair comes first in SentencePiece. For runs of one character, such as the spaces
    of Llama 2, that is the longest run first. A piece's cuts go from the longest left part to the shortest,
    as in transformers' `generate_merges`.
    """
    merges: list[list[str]] = []
    last = ""
    for text in sorted(scores, key=lambda text: (-scores[text], -len(text))):
        if cuts := list(_cuts(text, scores)):
            if last and scores[last] == scores[text] and len({*last, *text}) > 1:
                raise ValueError(
                    f"the tokens {last!r} and {text!r} have one score, which tokenizer.json cannot tell of; "
                    "import a file that was converted with SentencePiece's scores"
                )
            merges += cuts
            last = text
    return merges


def _cuts(text: str, pieces: Mapping[str, float]) -> Iterator[list[str]]:
    for cut in range(len(text) - 1, 0, -1):
        if text[:cut] in pieces and text[cut:] in pieces:
            yield [text[:cut], text[cut:]]


def _decoder(add_space_prefix: bool) -> dict[str, Any]:
    steps: list[dict[str, Any]] = [
        {"type": "Replace", "pattern": {"String": SPACE}, "content": " "},
        {"type": "ByteFallback"},
        {"type": "Fuse"},
    ]
    if add_space_prefix:
        steps.append({"type": "Strip", "content": " ", "start": 1, "stop": 0})
    return {"type": "Sequence", "decoders": steps}
