from __future__ import annotations

import pytest
from measures.rows import Runs, equal_lead, floors, make_rows

FACTS = {
    "type": "Q4_0",
    "isa": "avx512",
    "prompt_tokens": 512,
    "prefill_ops": 2e8,
    "decode_bytes": 100_000_000,
    "decode_after_prompt_bytes": 125_000_000,
}
RATES = [{"int8_ops_per_s": 1e12}, {"int8_ops_per_s": 9e11}]


def answer(prefill: float, decode: float, tokens: list[int], peak_bytes: int = 2_000_000) -> dict:
    speeds = {"prefill": prefill, "decode": decode, "decode_after_prompt": decode / 2}
    return {"speeds": speeds, "tokens": tokens, "peak_bytes": peak_bytes, "bytes_per_s": 4e10}


def test_floors() -> None:
    done = [{"bytes_per_s": rate} for rate in (9e10, 4e10, 3e10)]
    assert floors(FACTS, RATES, done) == {"prefill": 5000, "decode": 400, "decode_after_prompt": 320}


def test_rows_compare_medians() -> None:
    ours = [
        answer(1000, 300, [1, 2, 3]),
        answer(3000, 320, [1, 2, 3]),
        answer(2000, 100, [1, 2, 3], 4_000_000),
    ]
    peers = {
        "xllamacpp": [answer(500, 100, [1, 2, 4])] * 3,
        "llama.cpp": [answer(250, 150, [])] * 3,
    }
    rows = make_rows("m", 2, FACTS, RATES, Runs(ours, peers))
    assert [row["phase"] for row in rows] == ["prefill"] * 2 + ["decode"] * 2 + ["decode@512"] * 2
    first = rows[0]
    assert first["peer"].startswith("xllamacpp ")
    assert (first["ours_tok_s"], first["peer_tok_s"], first["ratio"]) == (2000, 500, 4)
    assert (first["floor_tok_s"], first["share_of_floor"]) == (5000, 0.4)
    assert first["ours_runs"] == [1000, 3000, 2000]
    assert (first["ours_peak_mb"], first["peer_peak_mb"], first["peak_ratio"]) == (4, 2, 2)
    assert (first["equal_greedy_tokens"], first["greedy_tokens"]) == (2, 3)
    assert rows[1]["equal_greedy_tokens"] is None
    assert [row["best_peer"] for row in rows] == [True, False, False, True, False, True]


def test_without_peers_a_phase_still_has_its_row() -> None:
    rows = make_rows("m", 2, FACTS, RATES, Runs([answer(1000, 300, [])], {}))
    assert [row["ours_tok_s"] for row in rows] == [1000, 300, 150]
    assert {row["peer"] for row in rows} == {row["ratio"] for row in rows} == {None}


@pytest.mark.parametrize(
    ("left", "right", "equal"),
    [([1, 2], [1, 2], 2), ([1, 2], [2, 2], 0), ([1, 2, 3], [1, 2], 2), ([], [1], 0)],
)
def test_equal_lead(left: list[int], right: list[int], equal: int) -> None:
    assert equal_lead(left, right) == equal
