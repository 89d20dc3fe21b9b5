"""The table, the picture and the page of a sweep."""

from __future__ import annotations

import csv
import io
from dataclasses import asdict
from pathlib import Path

import pytest

from phonelm.evaluate.sweep import Sweep, SweepRow
from phonelm.report.sweep import sweep_csv, write_sweep


def row(type: str, way: str, number: float) -> SweepRow:
    return SweepRow(
        type, way, number, int(1e6 * number), 10 * number, 100 * number, 1 / number, 9.0, 0.5, 1.1, 2
    )


ROWS = (
    row("source", "plain", 16),
    row("q4_0", "plain", 4.5),
    row("q4_0", "importance", 4.6),
    row("q4_0", "compensated", 4.7),
    row("q2_k", "plain", 2.6),
)
SWEEP = Sweep(
    "<model>.gguf", "a machine", 12.3, 4096, ROWS,
    {"made_at": "2026-01-01T00:00:00", "phonelm": "0", "wall_s": 3.0,
     "config": {"text": "t.txt", "importance": None}},
)  # fmt: skip


def test_the_table_is_the_rows() -> None:
    read = list(csv.DictReader(io.StringIO(sweep_csv(ROWS))))
    assert [set(line) for line in read] == [set(asdict(ROWS[0]))] * len(ROWS)
    assert [float(line["kl_mean"]) for line in read] == pytest.approx([row.kl_mean for row in ROWS])


def test_files_of_a_sweep(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    page = write_sweep(SWEEP, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"sweep.html", "sweep.csv", "sweep.png", "sweep.svg"}
    assert (tmp_path / "sweep.png").read_bytes().startswith(b"\x89PNG")
    text = page.read_text()
    assert "<model>" not in text
    assert text.count("<tr><td>") == len(ROWS)
    for inside in ("&lt;model&gt;.gguf", "errors compensated", "<svg", "q2_k"):
        assert inside in text
    for outside in ("<script", "http://", "https://", "src="):
        assert outside not in text
