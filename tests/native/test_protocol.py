"""Measuring by lines: what is answered, and what is refused in one line."""

from __future__ import annotations

import json
import platform
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phonelm import _native

SHORT = "min_ms=0.1 threads=1"
REQUESTS = {
    "matmul": "type=q4_0 rows=64 cols=64",
    "attention": "heads=4 kv_heads=2 head_dim=32 context=64 kv_type=q8_0",
    "project": "type=q4_0 rows=128 hidden=64",
    "add_attention": "type=q4_0 hidden=64 width=128",
    "ffn": "type=q8_0 gated=1 hidden=64 intermediate=96",
    "neurons": "type=q4_0 gated=1 hidden=64 intermediate=64 live_percent=50",
    "head": "type=q8_0 vocab=256 hidden=64",
    "embed": "vocab=256 hidden=64",
    "sampling": "vocab=256",
    "barrier": "",
}


def ask(line: str) -> str:
    answer: str = _native.OperatorBench().answer(line)
    assert "\n" not in answer
    return answer


def test_the_machine() -> None:
    machine = json.loads(ask("machine"))
    assert machine.pop("system") == f"{platform.system()} {platform.machine()}"
    assert machine == _native.cpu_info()


@pytest.mark.parametrize("name", REQUESTS)
@pytest.mark.parametrize("how", [SHORT, f"{SHORT} tokens=16 footprint=1048576 isa=scalar"])
def test_seconds_of_a_call(name: str, how: str) -> None:
    if name in ("head", "sampling", "barrier"):
        how = how.replace("tokens=16 ", "")
    seconds = ask(f"{name} {REQUESTS[name]} {how}")
    assert 0 < float(seconds) < 10


def test_what_bounds_all_operators() -> None:
    assert 1e7 < float(ask("bandwidth bytes=1048576 threads=1 min_ms=0.1")) < 1e13
    assert 1e7 < float(ask("int8 threads=1")) < 1e15


def test_every_type_of_matrix() -> None:
    for name in ("f32", "f16", "bf16", "Q4_0", "q4_1", "q5_0", "q5_1", "q8_0", "q4_k", "q6_k", "iq4_nl"):
        assert float(ask(f"matmul type={name} rows=32 cols=256 {SHORT}")) > 0


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("", "the request is empty"),
        ("   ", "the request is empty"),
        ("softmax rows=1", "there is no operator 'softmax'; take one of: machine, matmul"),
        ("machine rows=1", "machine takes no rows"),
        ("matmul type=q4_0 rows=64", "matmul needs cols="),
        ("embed vocab=256 hidden=64 rows=64", "embed takes no rows"),
        ("embed vocab=256 hidden=64 size=64", "there is no key 'size'"),
        ("embed vocab=256 hidden=64 hidden=64", "hidden is there twice"),
        ("embed 64", "'64' is no key=value"),
        ("embed vocab=256 hidden=", "hidden is ''"),
        ("embed vocab=256 hidden=0", "hidden is '0'; give a number from 1"),
        ("embed vocab=256 hidden=-64", "hidden is '-64'"),
        ("embed vocab=256 hidden=64.5", "hidden is '64.5'"),
        ("embed vocab=256 hidden=99999999999999999999", "hidden is '9999"),
        ("embed vocab=256 hidden=64 min_ms=nan", "min_ms is 'nan'"),
        ("embed vocab=256 hidden=64 min_ms=1e9", "min_ms is '1e9'"),
        ("embed vocab=256 hidden=64 threads=257", "threads is '257'"),
        ("embed vocab=256 hidden=64 tokens=1025", "tokens is '1025'"),
        ("neurons type=q4_0 gated=2 hidden=64 intermediate=64 live_percent=50", "gated is '2'"),
        (
            "neurons type=q4_1 gated=1 hidden=64 intermediate=64 live_percent=50",
            "not stored neuron by neuron",
        ),
        (
            "neurons type=q4_0 gated=1 hidden=96 intermediate=64 live_percent=50",
            "not stored neuron by neuron",
        ),
        ("embed vocab=256 hidden=64 isa=mmx", "instruction set 'mmx'"),
        ("matmul type=q9 rows=64 cols=64", "tensor type 'q9' is not known"),
        ("matmul type=q4_0 rows=64 cols=63", "63 columns are not whole blocks"),
        ("matmul type=q4_0 rows=2000000 cols=1000000", "needs"),
        ("project type=q4_0 rows=96 hidden=64", "96 rows are not four times 16"),
        ("ffn type=q4_0 gated=1 hidden=48 intermediate=64", "48 columns are not whole blocks"),
        ("attention heads=3 kv_heads=2 head_dim=64 context=64", "heads do not fit"),
        ("attention heads=4 kv_heads=2 head_dim=64 context=64 kv_type=f64", "KV cache type"),
        ("attention heads=1024 kv_heads=1024 head_dim=1024 context=1000000", "needs"),
        ("embed vocab=2000000 hidden=1048576", "needs"),
        ("bandwidth bytes=1 threads=1", "bytes is '1'"),
    ],
)
def test_what_is_refused(line: str, problem: str) -> None:
    answer = ask(line)
    assert answer.startswith("error: ")
    assert problem in answer


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=60))
def test_any_text_is_answered_in_one_line(text: str) -> None:
    assert ask(f"embed vocab=256 hidden={text}" if "=" in text else text).startswith("error: ")


def test_requests_of_several_threads_wait_for_each_other() -> None:
    bench = _native.OperatorBench()
    answers: list[str] = []
    threads = [
        threading.Thread(target=lambda: answers.append(bench.answer(f"embed vocab=256 hidden=64 {SHORT}")))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 8
    assert all(float(answer) > 0 for answer in answers)
