from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from phonelm.search import Design, SearchConfig, deep_and_thin, enumerate_shapes, price, search
from synthetic import synthetic_profile

BUDGET: dict[str, Any] = {"params": "4.7M", "vocab_size": 4096}


def config(**changes: Any) -> SearchConfig:
    return SearchConfig.model_validate({**BUDGET, **changes})


def test_the_choice_is_the_fastest_that_keeps_its_quality() -> None:
    settings = config()
    design = search(settings, synthetic_profile())
    shapes = enumerate_shapes(settings.space, 4096, 4_700_000, 0.02)
    costs = price(shapes, synthetic_profile(), settings.request)
    assert design.conventional is not None
    good = shapes.non_embedding >= 0.95 * design.conventional.non_embedding
    best = np.where(good, costs.prefill_ms + 128 * costs.decode_ms, np.inf).min()
    assert design.chosen.prefill_ms + 128 * design.chosen.decode_ms == pytest.approx(best)
    assert design.num_shapes == len(shapes)


def test_the_choice_is_on_the_front_and_in_the_budget() -> None:
    design = search(config(), synthetic_profile())
    c = design.chosen.config
    shape = (c.num_layers, c.hidden_size, c.heads_at(0), c.kv_heads_at(0), c.head_dim, c.intermediate_at(0))
    assert shape in [point.shape for point in design.front]
    assert abs(design.chosen.num_parameters - 4_700_000) <= 0.02 * 4_700_000


def test_a_design_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    design = search(config(), synthetic_profile())
    design.save(tmp_path / "design.json")
    assert Design.load(tmp_path / "design.json") == design


@pytest.mark.parametrize("name", ["decode", "prefill", "memory"])
def test_limits_bind(name: str) -> None:
    free = search(config(min_quality=0.5), synthetic_profile())
    fields = {"decode": "decode_ms", "prefill": "prefill_ms", "memory": "memory_mb"}
    values = [getattr(point, fields[name]) for point in free.front]
    limit = float(np.percentile(values, 20))
    key = {"decode": "max_decode_ms", "prefill": "max_prefill_ms", "memory": "max_memory_mb"}[name]
    bound = search(config(min_quality=0.5, **{key: limit}), synthetic_profile())
    assert getattr(bound.chosen, fields[name]) <= limit


def test_limits_nobody_meets_name_the_nearest() -> None:
    with pytest.raises(ValueError, match=r"the nearest takes .* ms a token"):
        search(config(max_decode_ms=1e-6), synthetic_profile())


def test_a_profile_of_other_types_is_refused() -> None:
    with pytest.raises(ValueError, match="measure again"):
        search(config(block_type="q8_0"), synthetic_profile())


@pytest.mark.parametrize(
    ("params", "number"), [("4.7M", 4_700_000), ("0.5B", 500_000_000), ("900k", 900_000), (12, 12)]
)
def test_budgets_are_read_as_people_write_them(params: object, number: int) -> None:
    assert config(params=params).params == number


@pytest.mark.parametrize("params", ["many", "xM", "", "infM", 0, "-1M"])
def test_senseless_budgets_are_refused(params: object) -> None:
    with pytest.raises(ValueError, match="params"):
        config(params=params)


def test_a_request_longer_than_the_context_is_refused() -> None:
    with pytest.raises(ValueError, match="do not fit"):
        search(config(prompt_tokens=500, output_tokens=100), synthetic_profile())


def test_deep_and_thin_gives_back_smollm2() -> None:
    shape = deep_and_thin(49152, 134_515_008, 0.001, gated=True)
    assert shape is not None
    c = shape.config(0, 2048)
    numbers = (c.num_layers, c.hidden_size, c.num_heads, c.num_kv_heads, c.head_dim, c.intermediate_size)
    assert numbers == (30, 576, 9, 3, 64, 1536)


@pytest.mark.parametrize("params", [3_000_000, 4_720_000, 20_000_000, 300_000_000])
def test_deep_and_thin_keeps_to_the_budget(params: int) -> None:
    shape = deep_and_thin(4096, params, 0.02, gated=True)
    assert shape is not None
    assert abs(int(shape.total[0]) - params) <= 0.02 * params
    assert shape.layers[0] >= 6
