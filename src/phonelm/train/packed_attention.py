"""Attention over rows of several documents, each of which sees itself alone.

A mask of a whole row costs its length squared and keeps torch from its causal kernels; here each document is
attended to by itself, so that a row costs the sum of its documents' squared lengths.
"""

# Parts of transformers carry no types.
# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, PreTrainedModel
from transformers.masking_utils import AttentionMaskInterface

NAME = "phonelm_packed"


def packed_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    documents: list[list[int]] | None = None,
    sliding_window: int | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Causal attention within documents: [batch, length, heads, head_dim], and no probabilities.

    `query` is [batch, heads, length, head_dim], `key` and `value` may have fewer heads; `documents` are the
    lengths of each row's documents, None where a row is one. `sliding_window`: tokens that one sees back. One
    query for many keys is the next token of a text that is being written.
    """
    assert attention_mask is None, "documents say what is seen"
    assert not kwargs.get("softcap"), "no architecture that is trained caps its scores"
    assert not kwargs.get("dropout"), "not trained with"
    groups = query.shape[1] // key.shape[1]
    if groups > 1:
        key, value = key.repeat_interleave(groups, dim=1), value.repeat_interleave(groups, dim=1)
    if documents is None:
        return _document((query, key, value), sliding_window, scaling).transpose(1, 2).contiguous(), None
    rows = zip(query.split(1), key.split(1), value.split(1), documents, strict=True)
    mixed = [_row(row, lengths, sliding_window, scaling) for *row, lengths in rows]
    return torch.cat(mixed).transpose(1, 2).contiguous(), None


def _row(row: Sequence[Tensor], lengths: list[int], window: int | None, scaling: float | None) -> Tensor:
    parts = zip(*(one.split(lengths, dim=2) for one in row), strict=True)
    return torch.cat([_document(part, window, scaling) for part in parts], dim=2)


def _document(part: Sequence[Tensor], window: int | None, scaling: float | None) -> Tensor:
    query, key, value = part
    length = key.shape[2]
    if window is None or length <= window:
        causal = query.shape[2] > 1
        return scaled_dot_product_attention(query, key, value, is_causal=causal, scale=scaling)
    places = torch.arange(length, device=query.device)
    back = places[-query.shape[2] :, None] - places[None]
    return scaled_dot_product_attention(
        query, key, value, attn_mask=(back >= 0) & (back < window), scale=scaling
    )


def _no_mask(*_args: Any, **_kwargs: Any) -> None:
    return None


def attend_within_documents(model: PreTrainedModel) -> None:
    """From now on the model attends by `packed_attention`, in whose `documents` tokens see each other only.

    Raises `ValueError` for a model whose attention cannot be exchanged.
    """
    AttentionInterface.register(NAME, packed_attention)
    AttentionMaskInterface.register(NAME, _no_mask)
    try:
        model.set_attn_implementation(NAME)
    except (ValueError, KeyError) as error:
        raise ValueError(
            f"the attention of {type(model).__name__} cannot be exchanged, which packed conversations need "
            f"({str(error).splitlines()[0]}); take another base model"
        ) from error
