"""The suite on devices behind adb: what the device is asked, and what is kept of its answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import pytest

from phonelm.bench.suite import Entry, Selection, SuiteOptions, read_rows, run_suite, shape_of
from phonelm.bench.suite.device_meter import DeviceMeter
from phonelm.profile import DeviceError, DeviceGoneError
from phonelm.profile.remote import RemoteDevice
from phonelm.progress import Progress
from shapes import TINY
from suite_rows import MACHINE

SELECTION = Selection([Entry(("small",), shape_of(TINY), 1000)], {})
Q4 = SuiteOptions(("q4_0",), threads=2)


class Board:
    """A device that answers as `phonelm-cli bench --json` does."""

    name, kernels = "ssh:board", "hash of the program"

    def __init__(self) -> None:
        self.files: list[str] = []
        self.asked: list[tuple[object, ...]] = []
        self.failure: Exception | None = None

    def machine(self) -> Any:
        return MACHINE

    def push(self, source: Path, name: str) -> str:
        assert Path(source).is_file()
        self.files.append(name)
        return f"/there/{name}"

    def remove(self, path: str) -> None:
        self.files.remove(path.rpartition("/")[2])

    def run(self, *words: object) -> str:
        self.asked.append(words)
        if self.failure:
            raise self.failure
        options = dict(zip(words[2::2], words[3::2], strict=False))
        rate = {"median": 20.0, "low": 10.0, "high": 25.0}
        result = {
            "isa": "dotprod", "prefill_threads": 4, "decode_threads": 2, "load_s": 0.5, "file_bytes": 10,
            "base_bytes": 1, "weight_bytes": 2, "kv_bytes": options["--prefill"], "buffer_bytes": 4,
            "peak_rss_bytes": 519, "prompt_tokens": options["--prefill"], "decode_tok_s": rate,
            "generated_tokens": options["--decode"],
            "first_token_s": {"median": 2.0, "low": 1.0, "high": 3.0},
        }  # fmt: skip
        return json.dumps({"results": [result]})


def _run(board: Board, path: Path) -> Any:
    return run_suite(SELECTION, path, Q4, Progress(), DeviceMeter(cast(RemoteDevice, board)))


def test_each_prompt_is_asked_for_and_the_file_is_gone_afterwards(tmp_path: Path) -> None:
    board = Board()
    (row,) = _run(board, tmp_path / "rows.jsonl").rows
    assert [words[:6] for words in board.asked] == [
        ("bench", "/there/model.gguf", "--prefill", length, "--decode", 16) for length in (50, 512)
    ]
    assert all(words[-3:] == ("--threads", 2, "--json") for words in board.asked)
    assert not board.files
    assert (row.isa, row.kernels, row.machine, row.kv_bytes) == ("dotprod", board.kernels, MACHINE, 512)
    assert row.at(50).decode_s.model_dump() == {"median": 0.05, "low": 0.04, "high": 0.1}
    assert row.at(512).prefill_s.median == 2.0
    assert row.at(512).prefill_parts_s == {}
    _run(board, tmp_path / "rows.jsonl")
    assert len(board.asked) == 2


def test_what_the_device_refuses_is_left_out_and_a_device_that_goes_ends_the_run(tmp_path: Path) -> None:
    board, path = Board(), tmp_path / "rows.jsonl"
    board.failure = DeviceError("no memory for it")
    assert _run(board, path).left_out == {"small, q4_0": "no memory for it"}
    board.failure = DeviceGoneError("went away")
    with pytest.raises(DeviceGoneError):
        _run(board, path)
    assert read_rows(path) == []
    assert not board.files
