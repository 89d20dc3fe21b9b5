from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from phonelm.search import Design, SearchConfig, enumerate_shapes, price, search
from phonelm.search.quality import Predictor
from synthetic import synthetic_profile

SPACE: dict[str, Any] = {"hidden": {"min": 64, "max": 512, "step": 64}, "head_dim": [32, 64]}
BUDGET: dict[str, Any] = {"params": "4.7M", "vocab_size": 4096, "space": SPACE}


def config(**changes: Any) -> SearchConfig:
    return SearchConfig.model_validate({**BUDGET, **changes})


@pytest.fixture
def without_predictor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("phonelm.search.objective.shipped_predictor", lambda: None)


@pytest.mark.usefixtures("without_predictor")
def test_the_choice_keeps_its_predicted_loss() -> None:
    settings = config(prefer="speed", max_loss_percent=0.3)
    design = search(settings, synthetic_profile())
    shapes = enumerate_shapes(settings.space, 4096, 4_700_000, 0.02)
    best = min(one.candidate.loss_percent or 0.0 for one in design.conventional)
    assert design.chosen.loss_percent is not None
    assert design.chosen.loss_percent <= best + 0.3
    loss = 100 * ((design.chosen.non_embedding / shapes.non_embedding.max()) ** -0.076 - 1)
    assert design.chosen.loss_percent == pytest.approx(loss)
    assert design.num_shapes == len(shapes)
    assert "4.7M parameters" in design.reason


@pytest.mark.usefixtures("without_predictor")
def test_no_shape_beats_the_choice_in_everything() -> None:
    settings = config()
    design = search(settings, synthetic_profile())
    shapes = enumerate_shapes(settings.space, 4096, 4_700_000, 0.02)
    costs, chosen = price(shapes, synthetic_profile(), settings.request), design.chosen
    beaten = (costs.decode_ms < chosen.decode_ms) & (costs.prefill_ms < chosen.prefill_ms)
    beaten &= (costs.memory_bytes < chosen.memory_mb * 2**20) & (shapes.non_embedding > chosen.non_embedding)
    assert not beaten.any()


@pytest.mark.parametrize(
    ("prefer", "params"),
    # Sizes at which a balanced choice is not already the best by what is preferred.
    [("speed", "4.7M"), ("quality", "4.7M"), ("memory", "8M")],
)
def test_a_preference_moves_the_choice_its_way(prefer: str, params: str) -> None:
    def measure(design: Design) -> float:
        chosen = design.chosen
        if prefer == "speed":
            return chosen.response_ms(design.request)
        return chosen.memory_mb if prefer == "memory" else chosen.loss_percent or 0.0

    balance = search(config(params=params), synthetic_profile())
    preferred = search(config(params=params, prefer=prefer), synthetic_profile())
    assert measure(preferred) < measure(balance)


def test_several_vocabularies_are_priced_beside_each_other() -> None:
    space = {**SPACE, "vocab": [2048, 4096]}
    both = search(config(vocab_size=None, space=space), synthetic_profile())
    alone = [search(config(vocab_size=size, space=SPACE), synthetic_profile()) for size in (2048, 4096)]
    assert both.num_shapes == sum(design.num_shapes for design in alone)
    assert {point.vocab_size for point in both.sample} == {2048, 4096}


def test_several_types_need_a_profile_of_each() -> None:
    space = {**SPACE, "types": ["q4_0/q8_0", "q8_0/q8_0"]}
    profile = synthetic_profile()
    other = profile.model_copy(update={"block_type": "q8_0"})
    with pytest.raises(ValueError, match="a profile of q4_0/q8_0 only"):
        search(config(space=space), profile)
    both = search(config(space=space), [profile, other])
    assert {point.types for point in both.sample} == {"q4_0/q8_0", "q8_0/q8_0"}
    assert both.chosen.block_type == "q4_0"


def test_what_is_kept_is_kept() -> None:
    design = search(config(keep={"layers": 10, "kv_heads": 2}), synthetic_profile())
    assert {point.shape[0] for point in design.sample} == {10}
    assert {point.shape[3] for point in design.front} == {2}


def test_a_budget_of_five_parameters_names_the_nearest() -> None:
    with pytest.raises(ValueError, match="the nearest has"):
        search(config(params=5), synthetic_profile())


def test_the_choice_is_on_the_front_and_in_the_budget() -> None:
    design = search(config(), synthetic_profile())
    c = design.chosen.config
    mixer, width = c.layers[0].mixer, c.layers[0].ffn.intermediate_size
    shape = (c.num_layers, c.hidden_size, mixer.num_heads, mixer.num_kv_heads, mixer.head_dim, width)
    assert shape in [point.shape for point in design.front]
    assert abs(design.chosen.num_parameters - 4_700_000) <= 0.02 * 4_700_000


def test_a_design_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    design = search(config(), synthetic_profile())
    design.save(tmp_path / "design.json")
    assert Design.load(tmp_path / "design.json") == design


@pytest.mark.parametrize("name", ["decode", "prefill", "memory"])
def test_limits_bind(name: str) -> None:
    free = search(config(max_loss_percent=5.0), synthetic_profile())
    fields = {"decode": "decode_ms", "prefill": "prefill_ms", "memory": "memory_mb"}
    values = [getattr(point, fields[name]) for point in free.front]
    limit = float(np.percentile(values, 20))
    key = {"decode": "max_decode_ms", "prefill": "max_prefill_ms", "memory": "max_memory_mb"}[name]
    bound = search(config(max_loss_percent=5.0, **{key: limit}), synthetic_profile())
    assert getattr(bound.chosen, fields[name]) <= limit < getattr(free.chosen, fields[name])


def test_limits_nobody_meets_name_the_nearest() -> None:
    with pytest.raises(ValueError, match=r"the nearest takes .* ms a token"):
        search(config(max_decode_ms=1e-6), synthetic_profile())


def test_a_profile_of_other_types_is_refused() -> None:
    with pytest.raises(ValueError, match="a profile of q4_0/q8_0 only"):
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


def test_a_predictor_of_a_file_takes_the_place_of_the_shipped_one(tmp_path: Path) -> None:
    shipped = Predictor.shipped()
    assert shipped is not None
    steeper = [2 * coefficient for coefficient in shipped.coefficients]
    shipped.model_copy(update={"coefficients": tuple(steeper)}).save(tmp_path / "predictor.json")
    ours = search(config(), synthetic_profile())
    theirs = search(config(predictor=str(tmp_path / "predictor.json")), synthetic_profile())
    assert theirs.quality_source == str(tmp_path / "predictor.json")
    assert ours.quality_source == "predictor"
    worst = [max(point.loss_percent for point in design.sample) for design in (ours, theirs)]
    assert worst[1] > 1.5 * worst[0]
