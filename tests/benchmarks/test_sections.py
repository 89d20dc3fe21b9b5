from __future__ import annotations

from measures import load, scoring, sparse
from measures.prompts import random_ids


def test_random_prompts_share_no_prefix() -> None:
    prompts = [random_ids(32, 49152, seed) for seed in range(50)]
    assert len({prompt[0] for prompt in prompts}) == 50
    assert min(min(prompt) for prompt in prompts) >= 1000
    assert prompts[3] == random_ids(32, 49152, 3)
    assert max(random_ids(1000, 300, 0)) < 300


def test_load_is_the_fastest_run_and_the_highest_peak() -> None:
    def run(seconds: float, peak_mb: int) -> dict:
        sizes = {"file": 900, "kv": 10, "base": 45, "peak": peak_mb, "peak_to_first_token": peak_mb - 5}
        return {
            "first_token_s": seconds,
            "load_s": seconds / 2,
            **{f"{name}_bytes": size * 1_000_000 for name, size in sizes.items()},
        }

    found = load.summary([run(2.0, 1000), run(1.0, 1100), run(1.2, 1050)])
    assert (found["first_token_s"], found["load_s"], found["peak_mb"]) == (1.0, 0.5, 1100)
    assert found["limit_mb"] == 1145
    assert found["passed"]
    assert not load.summary([run(1.0, 1146)])["passed"]
    assert not load.summary([run(1.6, 1000)])["passed"]


def test_requests_are_of_the_lengths_asked_for() -> None:
    requests = scoring.requests(40)
    assert len(set(requests)) == 40
    for context, continuation in requests:
        assert 63 <= len(context.split()) <= 120
        assert 1 <= len(continuation.split()) <= 8
        assert continuation.startswith(" ")


def test_sparse_wants_speed_and_the_same_logits() -> None:
    def found(dense: float, floor: float, difference: float) -> dict:
        skipping = [{"decode": 45.0, "live_fractions": [0.1, 0.2]}]
        computing = [{"decode": dense, "live_fractions": []}]
        return sparse.summary({True: skipping, False: computing}, floor, difference)

    good = found(30.0, 40.0, 1e-6)
    assert (good["ratio"], good["over_dense_floor"], good["live_by_layer"]) == (1.5, 1.12, [0.1, 0.2])
    assert good["passed"]
    assert not found(34.0, 40.0, 1e-6)["passed"]
    assert not found(30.0, 46.0, 1e-6)["passed"]
    assert not found(30.0, 40.0, 0.1)["passed"]
