"""Rotary tables and their rounding."""

from __future__ import annotations

import math

import torch

from phonelm.train.rotary import rotary_tables, rotate


def test_fixed_table_is_round_127() -> None:
    cos, sin = rotary_tables(torch.tensor([[0, 1, 50]]), 8, 10000.0, "int8")
    for i in range(4):
        angle = 50 * 10000.0 ** (-2 * i / 8)
        assert abs(float(cos[0, 2, i]) - round(127 * math.cos(angle)) / 127) < 1e-6
        assert abs(float(sin[0, 2, i + 4]) - round(127 * math.sin(angle)) / 127) < 1e-6


def test_per_call_scale_is_the_largest_entry() -> None:
    _, sin = rotary_tables(torch.tensor([[1]]), 8, 10000.0, "int8_per_call")
    assert abs(float(sin.max()) - math.sin(1)) < 1e-6
    levels = sin / math.sin(1) * 127
    torch.testing.assert_close(levels, levels.round(), atol=1e-4, rtol=0)


def test_position_zero_alone_has_no_scale_and_is_guarded() -> None:
    cos, sin = rotary_tables(torch.tensor([[0]]), 8, 10000.0, "int8_per_call")
    assert torch.equal(sin, torch.zeros(1, 1, 8))
    assert torch.equal(cos, torch.ones(1, 1, 8))


def test_rotation_keeps_lengths_and_depends_on_the_distance_only() -> None:
    states = torch.randn(1, 1, 1, 16, generator=torch.Generator().manual_seed(0)).expand(1, 1, 20, 16)
    rotated = rotate(states, *rotary_tables(torch.arange(20)[None], 16, 100.0, "float"))
    torch.testing.assert_close(rotated.norm(dim=-1), states.norm(dim=-1))
    scores = rotated[0, 0] @ rotated[0, 0].T
    torch.testing.assert_close(scores[3, 7], scores[11, 15])
