"""The model a run begins with: a decoder of fresh weights, or a Hugging Face folder's."""

# Parts of transformers carry no types.
# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

import phonelm.train.auto  # noqa: F401  registers our own model type
from phonelm.arch import DecoderConfig
from phonelm.files import file_hash
from phonelm.formats.families import FAMILIES
from phonelm.train.model import PhoneLMForCausalLM, decoder_to_hf

Beginning = DecoderConfig | Path
"""A decoder gets fresh weights by the seed; a path is a Hugging Face folder."""


def make_model(beginning: Beginning) -> PreTrainedModel:
    """The model in float32 on the CPU. Raises `ValueError` for a folder that cannot be trained."""
    if isinstance(beginning, DecoderConfig):
        return PhoneLMForCausalLM(decoder_to_hf(beginning))
    check_trainable(beginning)
    from phonelm.train.checkpoint import without_progress_bar

    with without_progress_bar():
        model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(beginning, dtype=torch.float32)
    return model


def check_trainable(folder: Path) -> None:
    """Raise `ValueError` for a folder that is none of Hugging Face's, or of an architecture not trained here.

    Those that the runtime runs are trained, so that what comes out can be used.
    """
    if not (folder / "config.json").is_file():
        raise ValueError(f"{folder} is no Hugging Face folder (it has no config.json); name one")
    kind = AutoConfig.from_pretrained(folder).model_type
    known = [family.model_type for family in FAMILIES]
    if kind not in known:
        raise ValueError(
            f"{folder} is of the architecture {kind!r}; those that can be trained are {', '.join(known)}"
        )


def limits(beginning: Beginning) -> tuple[int, int]:
    """Tokens of the vocabulary, and of the context."""
    if isinstance(beginning, DecoderConfig):
        return beginning.vocab_size, beginning.context_length
    check_trainable(beginning)
    config = AutoConfig.from_pretrained(beginning)
    return int(config.vocab_size), int(config.max_position_embeddings)


def identity(beginning: Beginning) -> Any:
    """What decides the first weights, one JSON-able value."""
    if isinstance(beginning, DecoderConfig):
        return beginning.model_dump(mode="json")
    files = [beginning / "config.json", *sorted(beginning.glob("*.safetensors"))]
    return [file_hash(file) for file in files]
