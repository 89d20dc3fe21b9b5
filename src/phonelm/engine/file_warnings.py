"""What a model's file leaves to a guess, said when it is loaded."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any


class ModelFileWarning(UserWarning):
    """A model's file does not tell something, and what is taken instead may be wrong."""


def warn_of_guesses(path: Path, metadata: Mapping[str, Any]) -> None:
    """Issue a `ModelFileWarning` for a byte-level tokenizer that does not name its pre-tokenizer."""
    if metadata.get("tokenizer.ggml.model") == "gpt2" and not metadata.get("tokenizer.ggml.pre"):
        warnings.warn(
            f"{path.name} names no pre-tokenizer (tokenizer.ggml.pre), so that text is cut by the rule "
            "'default', which may not be the model's and then costs quality; convert the model again",
            ModelFileWarning,
            stacklevel=3,
        )
