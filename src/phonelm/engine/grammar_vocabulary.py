"""A model's vocabulary as the grammar engine, llguidance, reads it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from phonelm import _native


class _Vocabulary:
    """A tokenizer as llguidance wants it."""

    is_tokenizer_wrapper = True

    def __init__(self, native: _native.Tokenizer) -> None:
        ids = range(native.vocab_size)
        self.eos_token_id = native.eos_id
        self.bos_token_id = native.bos_id if native.bos_id >= 0 else None
        self.tokens = [native.token_bytes(token, True) for token in ids]
        self.special_token_ids = [token for token in ids if native.is_special(token)]
        self._encode = native.encode

    def __call__(self, text: str | bytes) -> list[int]:
        return self._encode(text)


def compile_vocabulary(native: _native.Tokenizer) -> Any:
    """Return llguidance's form of a vocabulary: some tenths of a second for 50,000 tokens."""
    if not native.stop_ids:
        raise ValueError("this model has no token that ends a text; a grammar needs one")
    return import_llguidance().LLTokenizer(_Vocabulary(native), eos_token=sorted(native.stop_ids))


def import_llguidance() -> Any:
    """The package, or `ModuleNotFoundError` that says how to install it."""
    try:
        import llguidance
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "grammars need llguidance, which is not installed; run: pip install 'phonelm[grammar]'",
            name="llguidance",
        ) from error
    return llguidance
