"""The 256 printable characters that stand for bytes in byte-level BPE vocabularies."""

from __future__ import annotations

from typing import Any

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6
"""Token types of GGUF's `tokenizer.ggml.token_type`."""


def byte_characters() -> list[str]:
    """The character for each byte: itself if printable, else the next from U+0100 (GPT-2, `encoder.py`)."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = iter(range(0x100, 0x200))
    return [chr(byte) if byte in printable else chr(next(others)) for byte in range(256)]


def byte_tokenizer_metadata(vocab_size: int) -> dict[str, Any]:
    """GGUF keys of a tokenizer without merges: 256 byte tokens, an end token, then unused ones.

    Raises `ValueError` when the vocabulary has no room for the bytes and the end token.
    """
    if vocab_size < 257:
        raise ValueError(f"a byte vocabulary needs 257 tokens, not {vocab_size}; raise vocab_size")
    unused = range(257, vocab_size)
    return {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "smollm",
        "tokenizer.ggml.tokens": [*byte_characters(), "<|endoftext|>", *(f"[PAD{n}]" for n in unused)],
        "tokenizer.ggml.token_type": [NORMAL] * 256 + [CONTROL] + [UNUSED] * len(unused),
        "tokenizer.ggml.merges": [],
        "tokenizer.ggml.bos_token_id": 256,
        "tokenizer.ggml.eos_token_id": 256,
        "tokenizer.ggml.add_bos_token": False,
    }
