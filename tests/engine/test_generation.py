from __future__ import annotations

import dataclasses
import inspect
from typing import Any

import pytest

from phonelm import _native
from phonelm.engine import Model, SamplingOptions


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("temperature", -0.1),
        ("temperature", float("nan")),
        ("top_k", -1),
        ("top_p", 0.0),
        ("top_p", 1.1),
        ("min_p", 1.0),
        ("max_tokens", 0),
        ("seed", -1),
        ("stop", ("",)),
    ],
)
def test_options_out_of_range_are_refused(option: str, value: Any) -> None:
    with pytest.raises(ValueError, match=option.split("_")[0]):
        SamplingOptions(**{option: value})


def test_a_seed_is_drawn_and_kept_when_none_is_given() -> None:
    seeds = {SamplingOptions().seed for _ in range(8)}
    assert len(seeds) > 1
    assert all(seed is not None and seed >= 0 for seed in seeds)
    assert SamplingOptions(seed=7).seed == 7


def test_defaults_are_the_core_s() -> None:
    options = SamplingOptions()
    core = _native.Sampler.defaults
    assert sorted(core) == ["min_p", "temperature", "top_k", "top_p"]
    assert {name: getattr(options, name) for name in core} == core


def test_generate_names_every_option_with_its_default() -> None:
    parameters = inspect.signature(Model.generate).parameters
    expected = {field.name: field.default for field in dataclasses.fields(SamplingOptions)}
    expected["max_tokens"] = 256
    assert {name: parameters[name].default for name in expected} == expected


def test_keywords_go_before_the_method_s_defaults() -> None:
    options = SamplingOptions.from_keywords({"max_tokens": 3, "stop": "end"}, max_tokens=256, top_k=5)
    assert (options.max_tokens, options.top_k, options.stop) == (3, 5, ("end",))
    assert SamplingOptions.from_keywords({"stop": ["a", "b"]}).stop == ("a", "b")
    with pytest.raises(TypeError, match="topk"):
        SamplingOptions.from_keywords({"topk": 5})
