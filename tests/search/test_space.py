from __future__ import annotations

import itertools

import numpy as np
import pytest

from phonelm.arch import count_parameters
from phonelm.search import Range, SpaceConfig, enumerate_shapes, shapes_of

SMALL = SpaceConfig(
    hidden=Range(min=64, max=128, step=32),
    layers=Range(min=2, max=5),
    head_dim=[16, 32],
    kv_groups=[1, 2, 3],
    ffn=["gated relu", "plain relu2"],
    tied=[True, False],
)
VOCAB, PARAMS, TOLERANCE = 512, 400_000, 0.03


def brute_force(space: SpaceConfig) -> set[tuple[object, ...]]:
    """Every combination of every number, kept when it obeys the rules one by one."""
    found = set()
    for ffn, tied, hidden, layers, head_dim, kv, group in itertools.product(
        space.ffn,
        space.tied,
        space.hidden.values(),
        space.layers.values(),
        space.head_dim,
        range(1, 20),
        space.kv_groups,
    ):
        width = head_dim * kv * group
        if width % 32 or not 0.5 * hidden <= width <= 1.5 * hidden:
            continue
        for intermediate in range(32, 6 * 128 + 1, 32):
            if not 1.5 * hidden <= intermediate <= 6 * hidden:
                continue
            matrices = 3 if ffn == "gated relu" else 2
            attention = hidden * head_dim * (2 * kv * group + 2 * kv)
            layer = attention + matrices * hidden * intermediate + 2 * hidden
            total = layers * layer + hidden + VOCAB * hidden * (1 if tied else 2)
            if abs(total - PARAMS) <= TOLERANCE * PARAMS:
                found.add((ffn == "gated relu", tied, hidden, layers, head_dim, kv * group, kv, intermediate))
    return found


def test_enumeration_equals_brute_force() -> None:
    s = enumerate_shapes(SMALL, VOCAB, PARAMS, TOLERANCE)
    columns = (s.gated, s.tied, s.hidden, s.layers, s.head_dim, s.heads, s.kv_heads, s.intermediate)
    rows = list(zip(*(column.tolist() for column in columns), strict=True))
    assert len(rows) == len(set(rows)) > 100
    assert set(rows) == brute_force(SMALL)


def test_parameters_are_those_of_the_architecture() -> None:
    shapes = enumerate_shapes(SMALL, VOCAB, PARAMS, TOLERANCE)
    for index in np.random.default_rng(0).choice(len(shapes), 25, replace=False):
        count = count_parameters(shapes.config(int(index), 256))
        assert (shapes.total[index], shapes.non_embedding[index]) == (count.total, count.non_embedding)


def test_a_shape_survives_the_way_through_a_config() -> None:
    shapes = enumerate_shapes(SMALL, VOCAB, PARAMS, TOLERANCE).take(slice(0, None, 37))
    for index in range(len(shapes)):
        config = shapes.config(index, 256)
        assert shapes_of(config).config(0, 256) == config


def test_a_budget_nobody_can_meet_names_the_nearest() -> None:
    with pytest.raises(ValueError, match=r"the nearest has ([\d,]+)") as caught:
        enumerate_shapes(SMALL, VOCAB, 50_000_000, TOLERANCE)
    largest = enumerate_shapes(SMALL, VOCAB, 2_500_000, 0.99).total.max()
    assert f"{largest:,}" in str(caught.value)


def test_layers_of_different_shape_are_refused() -> None:
    config = enumerate_shapes(SMALL, VOCAB, PARAMS, TOLERANCE).config(0, 256)
    varied = config.model_copy(
        update={"intermediate_size": tuple(32 * (i + 1) for i in range(config.num_layers))}
    )
    with pytest.raises(ValueError, match="uniform"):
        shapes_of(varied)


def test_a_tiny_budget_names_the_smallest_shape() -> None:
    smallest = enumerate_shapes(SMALL, VOCAB, 100_000, 0.99).total.min()
    with pytest.raises(ValueError, match=f"the nearest has {smallest:,}:"):
        enumerate_shapes(SMALL, VOCAB, 12, TOLERANCE)


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("hidden", {"min": 48, "max": 96, "step": 32}, "multiples of 32"),
        ("hidden", {"min": 96, "max": 64, "step": 32}, "below min"),
        ("head_dim", [20], "multiples of 16"),
        ("ffn_ratio", [4, 2], "is empty"),
        ("kv_groups", [0], "positive"),
    ],
)
def test_contradictions_in_the_space_are_refused(field: str, value: object, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        SpaceConfig.model_validate({field: value})
