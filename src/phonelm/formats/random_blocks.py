"""Random blocks of every quantized GGUF type: random bytes, and scales that make sane weights of them.

Layout of the blocks: ggml-common.h of llama.cpp.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from phonelm.arch.arithmetic import BLOCKS

Bytes = NDArray[np.uint8]


@dataclass(frozen=True)
class _Scales:
    """Where a type's float16 numbers lie in its block, and what random bytes mean beside them."""

    std: float
    """Standard deviation of the weights of random bytes with a scale of 1."""
    place: int = 0
    minimum_place: int | None = None
    minimum: float = 0.0
    """In scales; with it the weights of random bytes have a mean of 0."""
    random_sign: bool = False
    """Of the scale: makes a mean of 0 of levels that have another."""


# The levels are even (-7 to 7 with 0 twice as often in q4_0), and so are K-quants' sub-scales (6 bits, signed
# 6 bits in q3_k, signed bytes in q6_k, 4 bits in q2_k) and sub-minima.
_SCALES = {
    "q4_0": _Scales(4.18),
    "q4_1": _Scales(4.61, minimum_place=2, minimum=-7.5),
    "q5_0": _Scales(9.25, random_sign=True),
    "q5_1": _Scales(9.23, minimum_place=2, minimum=-15.5),
    "q8_0": _Scales(73.3),
    "iq4_nl": _Scales(67.4, random_sign=True),
    "q2_k": _Scales(13.9, place=80, minimum_place=82, minimum=1.5),
    "q3_k": _Scales(43.3, place=108, random_sign=True),
    "q4_k": _Scales(258.3, minimum_place=2, minimum=7.5),
    "q5_k": _Scales(526.9, minimum_place=2, minimum=15.5),
    "q6_k": _Scales(1366.0, place=208, random_sign=True),
}
# Root mean square of the steps of blocks, drawn evenly between 0.5 and 1.5.
_STEP_SIZE = (13 / 12) ** 0.5


def random_blocks(shape: tuple[int, ...], weight_type: str, scale: float, rng: np.random.Generator) -> Bytes:
    """Blocks [number, bytes of one] of a (rows, columns) matrix whose weights have a standard deviation of
    `scale` and a mean of 0. `weight_type` is a quantized one of `BLOCKS`; columns are whole blocks.
    """
    elements, size = BLOCKS[weight_type]
    scales = _SCALES[weight_type]
    count = shape[0] * shape[1] // elements
    blocks = np.frombuffer(bytearray(rng.bytes(count * size)), np.uint8).reshape(count, size)
    steps = rng.random(count, dtype=np.float32) + np.float32(0.5)
    steps *= np.float32(scale / scales.std / _STEP_SIZE)
    if scales.random_sign:
        steps *= rng.choice(np.array([-1, 1], np.float32), count)
    _put_halves(blocks, scales.place, steps)
    if scales.minimum_place is not None:
        _put_halves(blocks, scales.minimum_place, steps * np.float32(scales.minimum))
    _keep_to_levels(blocks, weight_type)
    return blocks


def _put_halves(blocks: Bytes, place: int, numbers: NDArray[np.float32]) -> None:
    blocks[:, place : place + 2] = numbers.astype(np.float16).view(np.uint8).reshape(-1, 2)


def _keep_to_levels(blocks: Bytes, weight_type: str) -> None:
    """Levels that quantizers do not give, or whose mean would add up over the layers."""
    if weight_type == "q4_0":  # level -8 becomes 0
        nibbles = blocks[:, 2:]
        nibbles |= ((nibbles & 0x0F) == 0).astype(np.uint8) << 3
        nibbles |= ((nibbles & 0xF0) == 0).astype(np.uint8) << 7
    elif weight_type == "q8_0":
        levels = blocks[:, 2:].view(np.int8)
        np.maximum(levels, -127, out=levels)
