"""What can be refused before anything is measured."""

from __future__ import annotations

from pathlib import Path

from phonelm.ranges import is_whole

KV_TYPES = ("f16", "q8_0")
"""Types in which the runtime can keep keys and values."""


def check_counts(prompt_tokens: int, generate: int, repeats: int) -> None:
    """Raise `ValueError` for what is no whole number from 1 on."""
    if not all(is_whole(count, 1, None) for count in (prompt_tokens, generate, repeats)):
        raise ValueError("prompt, generate and repeats must each be a whole number of at least 1")


def check_context(name: str, context_length: int, prompt_tokens: int, generate: int) -> None:
    """Raise `ValueError` when prompt and answer do not fit into the model's context."""
    if prompt_tokens + generate > context_length:
        raise ValueError(
            f"{prompt_tokens} + {generate} tokens exceed the context of {name}, "
            f"{context_length}; lower --prompt or --generate"
        )


def check_file(path: Path, prompt_tokens: int, generate: int) -> None:
    """Raise `ValueError` or `OSError` for a file whose header tells that it cannot be measured."""
    from phonelm.formats import read_gguf_config

    check_context(str(path), read_gguf_config(path).context_length, prompt_tokens, generate)
