from __future__ import annotations

from typing import Any

import pytest

from phonelm.engine import SamplingOptions


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
