"""The quantized types of GGUF as functions over blocks, in numpy: float32 in, bytes out, and back."""

from __future__ import annotations

from phonelm.formats.blocks.floats import Bytes, Floats
from phonelm.formats.blocks.grids import Grid, GridType
from phonelm.formats.blocks.k_decoders import K_DECODERS
from phonelm.formats.blocks.k_encoders import K_ENCODERS, K_GRIDS
from phonelm.formats.blocks.nonlinear import IQ4_NL, decode_iq4_nl, encode_iq4_nl
from phonelm.formats.blocks.simple import SIMPLE_DECODERS, SIMPLE_ENCODERS, SIMPLE_GRIDS

BLOCK_ENCODERS = {**SIMPLE_ENCODERS, "iq4_nl": encode_iq4_nl, **K_ENCODERS}
"""Of each type a function (float32 [blocks, columns of one], uint8 [blocks, bytes of one] to be filled)."""
BLOCK_DECODERS = {**SIMPLE_DECODERS, "iq4_nl": decode_iq4_nl, **K_DECODERS}
"""Of each type a function from uint8 [blocks, bytes of one] to float32 [blocks, columns of one]."""
GRIDS = {**SIMPLE_GRIDS, "iq4_nl": IQ4_NL, **K_GRIDS}
"""The types whose scales can be found for weighted columns."""

__all__ = ["BLOCK_DECODERS", "BLOCK_ENCODERS", "GRIDS", "Bytes", "Floats", "Grid", "GridType"]
