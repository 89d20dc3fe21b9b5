"""The families of decoders: each one's names in GGUF and Hugging Face files, in a file of its own.

A new family is a file here, a place in `FAMILIES`, and its reader in the core (`native/graph/config.cpp`).
"""

from __future__ import annotations

from phonelm.formats.families.arcee import Arcee
from phonelm.formats.families.base import Family
from phonelm.formats.families.gemma3 import Gemma3
from phonelm.formats.families.llama import Llama
from phonelm.formats.families.phi3 import Phi3
from phonelm.formats.families.phonelm import PhoneLM
from phonelm.formats.families.qwen2 import Qwen2
from phonelm.formats.families.qwen3 import Qwen3
from phonelm.formats.families.smollm3 import SmolLM3

FAMILIES: tuple[Family, ...] = (
    Llama(),
    Arcee(),
    SmolLM3(),
    Qwen2(),
    Qwen3(),
    Phi3(),
    Gemma3(),
    PhoneLM(),
)
"""In the order in which a decoder's is looked for: `phonelm` is for those that llama.cpp has no name for."""

__all__ = ["FAMILIES", "Family", "by_architecture", "by_model_type"]


def by_architecture(name: str) -> Family | None:
    """The family of a GGUF file's `general.architecture`."""
    return next((family for family in FAMILIES if family.architecture == name), None)


def by_model_type(name: object) -> Family:
    """The family of a config.json's `model_type`; `ValueError` for one that is not known."""
    for family in FAMILIES:
        if family.model_type == name:
            return family
    names = ", ".join(family.model_type for family in FAMILIES)
    raise ValueError(f"model_type {name!r} is not supported; use one of {names}")
