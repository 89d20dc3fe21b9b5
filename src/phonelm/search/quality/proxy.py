"""What a shape is expected to be worth before any training."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt

from phonelm.search.space import Shapes

LIMITATION = (
    "Quality is the number of non-embedding parameters, which orders the loss of well-shaped models trained "
    "alike (Kaplan et al. 2020, arXiv:2001.08361). It does not see depth, heads or the kind of FFN: among "
    "shapes that share it, training may prefer another."
)


def non_embedding_proxy(shapes: Shapes) -> npt.NDArray[Any]:
    """Training-free proxy, larger is better: parameters outside the embedding and the head.

    Source: Kaplan et al. 2020, "Scaling Laws for Neural Language Models", sections 3.1 and 3.2: loss follows
    the non-embedding count and depends weakly on shape. Limits: see `LIMITATION`.
    """
    return shapes.non_embedding
