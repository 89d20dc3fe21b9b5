from __future__ import annotations

import io
from typing import Any

from rich.console import Console

from phonelm.bench import BenchResult, Spread
from phonelm.bench.table import bench_table, layers_table


def _result(**changes: Any) -> BenchResult:
    fields: dict[str, Any] = {
        "model": "smollm2-135m-instruct",
        "path": "/models/smollm2.gguf",
        "isa": "avx512",
        "prefill_threads": 8,
        "decode_threads": 4,
        "kv_type": "f16",
        "weight_types": {"Q4_1": 66_000_000, "Q8_0": 33_900_000, "F32": 100_000},
        "prompt_tokens": 512,
        "generated_tokens": 128,
        "repeats": 3,
        "prefill_tok_s": Spread(median=1710.2, low=1695, high=1720),
        "decode_tok_s": Spread(median=309.9, low=288, high=311),
        "first_token_s": Spread(median=0.299, low=0.29, high=0.31),
        "load_s": 0.151,
        "file_bytes": 98_000_000,
        "base_bytes": 51_000_000,
        "weight_bytes": 97_000_000,
        "kv_bytes": 15_000_000,
        "buffer_bytes": 23_000_000,
        "peak_rss_bytes": 186_000_000,
        "decode_bytes_per_token": 110_000_000,
        "dense_bytes_per_token": 110_000_000,
        "live_fractions": [],
        "prefill_ops_per_token": 2.3e8,
        "output_sha256": "d4d04b2ce495308737255ae9929ddad30601040edd7d2c39a3c394b1372921e9",
        "bandwidth_bytes_per_s": 4e10,
        "int8_ops_per_s": 5e11,
        "decode_bandwidth_share": 0.74,
        "prefill_peak_share": 0.79,
    }
    return BenchResult(**{**fields, **changes})


def _printed(results: list[BenchResult], width: int) -> str:
    file = io.StringIO()
    Console(file=file, width=width).print(bench_table(results))
    assert "…" not in file.getvalue()
    return file.getvalue()


FIGURES = (
    *("1,710.2", "1,695 to 1,720", "79% int8 peak", "309.9", "288 to 311", "74% bandwidth"),
    *("299", "load 151", "peak 186", "weights 97", "KV f16 15", "buffers 23", "base 51"),
)
FACTS = ("avx512, 8 threads, decode 4", "Q4_1 66%, Q8_0 34%", "output d4d04b2c", "dead 80%, 75% to 85%")


def test_every_figure_stands_in_the_width_of_a_terminal() -> None:
    sparse = _result(model="runs/a-rather-long-name-of-a-run/model.gguf", live_fractions=[0.15, 0.25])
    for width in (80, 120):
        printed = _printed([sparse, sparse], width)
        assert max(map(len, printed.splitlines())) <= width
        for words in (*FIGURES, *FACTS) if width == 120 else FIGURES:
            assert printed.count(words) == 2, words


def test_a_model_has_a_row_of_its_own() -> None:
    printed = _printed([_result(model="one"), _result(model="two")], 100)
    assert [line.split()[0] for line in printed.splitlines() if "1,710.2" in line] == ["one", "two"]


def test_equal_thread_numbers_are_said_once() -> None:
    assert "avx512, 2 threads " in _printed([_result(prefill_threads=2, decode_threads=2)], 100)
    assert "avx512, 1 thread " in _printed([_result(prefill_threads=1, decode_threads=1)], 100)


def test_layers_stand_below_each_other_and_models_side_by_side() -> None:
    results = [
        _result(model="deep", live_fractions=[0.1, 0.2, 0.45]),
        _result(model="silu"),
        _result(model="short", live_fractions=[0.5]),
    ]
    file = io.StringIO()
    Console(file=file, width=80).print(layers_table(results))
    lines = [line.split() for line in file.getvalue().splitlines()]
    assert ["layer", "deep", "short"] in lines
    assert lines[-3:] == [["0", "90.0%", "50.0%"], ["1", "80.0%"], ["2", "55.0%"]]
