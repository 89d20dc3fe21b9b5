"""A decoder small enough to write and run in a moment."""

from __future__ import annotations

from phonelm.arch import DecoderConfig

TINY = DecoderConfig(
    vocab_size=288,
    hidden_size=64,
    num_layers=2,
    num_heads=4,
    num_kv_heads=2,
    head_dim=16,
    intermediate_size=128,
    context_length=96,
)
