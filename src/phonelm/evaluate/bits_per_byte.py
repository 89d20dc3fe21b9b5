"""Loss of a model on text: bits per byte, the same for all tokenizers, and perplexity, which is not."""

from __future__ import annotations

import math


def bits_per_byte(sum_nll_nats: float, num_bytes: int) -> float:
    """Bits to code one byte of the text: the negative log-likelihood of all its tokens over its UTF-8 bytes.

    Raises `ValueError` when there are no bytes.
    """
    if num_bytes <= 0:
        raise ValueError("bits per byte needs a text of at least one byte")
    return sum_nll_nats / math.log(2) / num_bytes


def perplexity(sum_nll_nats: float, num_tokens: int) -> float:
    """Exponential of the mean negative log-likelihood of a token; infinite beyond the range of a float.

    Raises `ValueError` when there are no tokens.
    """
    if num_tokens <= 0:
        raise ValueError("perplexity needs a text of at least one predicted token")
    try:
        return math.exp(sum_nll_nats / num_tokens)
    except OverflowError:
        return math.inf
