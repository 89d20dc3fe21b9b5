"""The pre-tokenizers of Hugging Face's tokenizer.json under the names of GGUF's `tokenizer.ggml.pre`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

_CONTRACTION = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_SPACES = r"\s*[\r\n]+|\s+(?!\S)|\s+"
_UPPER, _LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_ANY = r"[^\r\n\p{L}\p{N}]?"


def _newer(words: str, digits: str, marks: str) -> str:
    return f"{words}|{digits}| ?{marks}|{_SPACES}"


def _cased(suffix: str) -> str:
    return f"{_ANY}{_UPPER}*{_LOWER}+{suffix}|{_ANY}{_UPPER}+{_LOWER}*{suffix}"


_MARKS, _MARKS_AND_SLASH = r"[^\s\p{L}\p{N}]+[\r\n]*", r"[^\s\p{L}\p{N}]+[\r\n/]*"
LLAMA3 = _newer(rf"{_CONTRACTION}|{_ANY}\p{{L}}+", r"\p{N}{1,3}", _MARKS)
QWEN2 = _newer(rf"{_CONTRACTION}|{_ANY}\p{{L}}+", r"\p{N}", _MARKS)
QWEN35 = _newer(rf"{_CONTRACTION}|{_ANY}[\p{{L}}\p{{M}}]+", r"\p{N}", r"[^\s\p{L}\p{M}\p{N}]+[\r\n]*")
GPT4O = _newer(_cased(f"{_CONTRACTION}?"), r"\p{N}{1,3}", _MARKS_AND_SLASH)
TEKKEN = _newer(_cased(""), r"\p{N}", _MARKS_AND_SLASH)

# llama.cpp's, for files that name none.
_DEFAULT = (
    r"[\p{P}\$\+<=>\^~\|]+",
    r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)",
    r"\p{N}+",
    r"[0-9][0-9][0-9]",
)
_EXPRESSIONS = (LLAMA3, QWEN2, QWEN35, GPT4O, TEKKEN, *_DEFAULT)
_KNOWN = {
    # steps of the pre-tokenizer, whether the model ignores merges for whole words, the normalizer
    (("bytes with regex",), False, None): "gpt-2",
    (("digits", "bytes with regex"), False, None): "smollm",
    ((LLAMA3, "bytes"), True, None): "llama-bpe",
    ((LLAMA3, "bytes"), False, None): "dbrx",
    ((QWEN2, "bytes"), False, "NFC"): "qwen2",
    ((QWEN2, "bytes"), False, None): "deepseek-r1-qwen",
    ((QWEN35, "bytes"), False, None): "qwen35",
    ((GPT4O, "bytes"), False, None): "gpt-4o",
    ((TEKKEN, "bytes"), True, None): "tekken",
    ((*_DEFAULT, "bytes"), False, None): "default",
}
_DIGITS = {"type": "Digits", "individual_digits": True}


@dataclass(frozen=True)
class PreTokenizer:
    """The three parts of a byte-level BPE tokenizer that decide its words, as tokenizer.json has them."""

    pre_tokenizer: dict[str, Any]
    normalizer: dict[str, Any] | None
    ignore_merges: bool


def pre_tokenizer_parts(name: str) -> PreTokenizer:
    """The parts that a name of `tokenizer.ggml.pre` stands for; `ValueError` for one that is not known."""
    from phonelm import _native

    first = _native.first_pre_tokenizer_name(name)
    for (steps, ignore_merges, normalizer), known in _KNOWN.items():
        if known == first:
            parts = [_part(step) for step in steps]
            whole = parts[0] if len(parts) == 1 else {"type": "Sequence", "pretokenizers": parts}
            return PreTokenizer(whole, {"type": normalizer} if normalizer else None, ignore_merges)
    raise ValueError(f"the pre-tokenizer {name!r} (tokenizer.ggml.pre) has no form in tokenizer.json")


def pre_tokenizer_name(pre_tokenizer: Any, normalizer: Any, ignore_merges: bool) -> str:
    """Return llama.cpp's name for the three parts of a byte-level BPE tokenizer that decide its words.

    Raises `ValueError` for a combination that is not known, naming its parts.
    """
    key = (tuple(_step(step) for step in _steps(pre_tokenizer)), ignore_merges, _normalizer(normalizer))
    if key in _KNOWN:
        return _KNOWN[key]
    steps, _, normalizer_name = key
    raise ValueError(
        f"the pre-tokenizer {' + '.join(steps) or 'None'}"
        + (f" after the normalizer {normalizer_name}" if normalizer_name else "")
        + (" with ignore_merges" if ignore_merges else "")
        + " is not supported; use a model with the tokenizer of GPT-2, SmolLM, Llama 3, Qwen or GPT-4o"
    )


def _steps(part: Any) -> list[Any]:
    if isinstance(part, dict) and part.get("type") == "Sequence":
        return list(part.get("pretokenizers") or part.get("normalizers") or [])
    return [part] if part else []


def _normalizer(part: Any) -> str | None:
    kinds = [str(step.get("type")) for step in _steps(part)]
    return " + ".join(kinds) or None


def _part(word: str) -> dict[str, Any]:
    """The way back of `_step`."""
    if word == "digits":
        return _DIGITS
    if word.startswith("bytes"):
        with_regex = word == "bytes with regex"
        return {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": with_regex}
    return {"type": "Split", "pattern": {"Regex": word}, "behavior": "Isolated", "invert": False}


def _step(step: Any) -> str:
    """A word for a step that has one form only, its regular expression for a split, else what it is."""
    if not isinstance(step, dict):
        return str(step)
    kind = step.get("type")
    if step == _DIGITS:
        return "digits"
    if kind == "ByteLevel" and step.get("add_prefix_space") is False:
        return "bytes" if step.get("use_regex") is False else "bytes with regex"
    # To keep each match, or to remove what does not match, is the same: the expressions match any text.
    how = (step.get("behavior"), step.get("invert"))
    pattern = step.get("pattern")
    if kind == "Split" and isinstance(pattern, dict) and how in (("Isolated", False), ("Removed", True)):
        regex = pattern.get("Regex")
        return regex if regex in _EXPRESSIONS else f"Split {pattern}"
    return f"{kind} { ({key: value for key, value in step.items() if key != 'type'}) }"
