from __future__ import annotations

import itertools

import numpy as np
import pytest

from phonelm.arch import DecoderConfig, count_parameters, preset
from phonelm.search import Range, SpaceConfig, enumerate_shapes, shapes_of
from phonelm.search.narrowing import kept, narrowed

SMALL = SpaceConfig(
    hidden=Range(min=64, max=128, step=32),
    layers=Range(min=2, max=5),
    head_dim=[16, 32],
    kv_groups=[1, 2, 3],
    ffn=["gated relu", "plain relu2"],
    tied=[True, False],
)
VOCAB, PARAMS, TOLERANCE = 512, 400_000, 0.03


def brute_force(space: SpaceConfig, step: int = 32) -> set[tuple[object, ...]]:
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
        for intermediate in range(step, 6 * 128 + 1, step):
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


def test_the_width_of_the_ffn_goes_by_its_step() -> None:
    space = SMALL.model_copy(update={"ffn_step": 96})
    shapes = enumerate_shapes(space, VOCAB, PARAMS, TOLERANCE)
    assert not (shapes.intermediate % 96).any()
    assert len(shapes) == len(brute_force(space, 96))


def test_the_default_space_holds_a_million_shapes_of_100m() -> None:
    assert len(enumerate_shapes(SpaceConfig(), 49152, 100_000_000, 0.02)) >= 1_000_000


MOBILELLM = DecoderConfig(
    vocab_size=32000,
    hidden_size=576,
    num_layers=30,
    num_heads=9,
    num_kv_heads=3,
    head_dim=64,
    intermediate_size=1536,
)


@pytest.mark.parametrize("config", [preset("phonelm-0.5b"), preset("phonelm-1.5b"), MOBILELLM])
def test_published_shapes_are_members(config: DecoderConfig) -> None:
    mixer, ffn = config.layers[0].mixer, config.layers[0].ffn
    keep = {"hidden": config.hidden_size, "layers": config.num_layers, "head_dim": mixer.head_dim}
    space = narrowed(SpaceConfig(), {**keep, "ffn": f"{'gated' if ffn.gated else 'plain'} {ffn.activation}"})
    shapes = enumerate_shapes(space, config.vocab_size, count_parameters(config).total, 0.02)
    shapes = kept(shapes, {"heads": mixer.num_heads, "kv_heads": mixer.num_kv_heads})
    assert ffn.intermediate_size in shapes.intermediate


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
    with pytest.raises(ValueError, match="layers = different ones"):
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
        ("ffn_step", 48, "multiples of 32"),
        ("kv_groups", [0], "greater than 0"),
        ("kv_groups", [], "at least 1"),
        ("vocab", [100], "greater than or equal to 256"),
        ("types", ["q9/q9"], "q4_0/q8_0"),
        ("attention_ratio", [0.001, 0.002], "attention_ratio .* leaves no heads"),
        ("ffn_ratio", [1.0001, 1.0002], "ffn_ratio .* holds no multiple of ffn_step"),
    ],
)
def test_contradictions_in_the_space_are_refused(field: str, value: object, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        SpaceConfig.model_validate({field: value})


def test_what_is_kept_has_one_value() -> None:
    space = narrowed(SMALL, {"layers": "4", "ffn": "gated relu", "tied": "true", "head_dim": 32})
    assert (space.layers.values(), space.ffn, space.tied, space.head_dim) == (
        [4],
        ["gated relu"],
        [True],
        [32],
    )
    shapes = kept(enumerate_shapes(SMALL, VOCAB, PARAMS, TOLERANCE), {"heads": 4, "kv_heads": "2"})
    assert set(shapes.heads.tolist()) == {4}
    assert set(shapes.kv_heads.tolist()) == {2}


@pytest.mark.parametrize(
    ("keep", "words"),
    [
        ({"layers": 99}, r"layers=99: outside the space \(2 to 5 by 1\)"),
        ({"layers": "many"}, "not a whole number"),
        ({"ffn": "gated gelu"}, "outside the space"),
        ({"vocab": 512}, "--vocab"),
        ({"leyers": 4}, "did you mean layers"),
        ({"colour": 4}, "there are vocab"),
    ],
)
def test_what_can_not_be_kept_is_refused(keep: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        narrowed(SMALL, keep)


def test_a_number_of_heads_nobody_has_names_the_nearest() -> None:
    with pytest.raises(ValueError, match=r"the nearest have \d+, \d+"):
        kept(enumerate_shapes(SMALL, VOCAB, PARAMS, TOLERANCE), {"heads": 1000})
