from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import pytest
import readme_picture

ROOT = Path(__file__).resolve().parents[2]


def document() -> list[dict]:
    return json.loads((ROOT / "docs/figures/runtime.json").read_text())["rows"]


def test_bars_hold_the_fastest_and_every_peer() -> None:
    rows = [
        {"model": "a.gguf", "phase": "decode", "ours_tok_s": 9.0, "peer": "llama.cpp b1", "peer_tok_s": 4.0},
        {"model": "a.gguf", "phase": "decode", "ours_tok_s": 9.0, "peer": "openvino 1", "peer_tok_s": 3.0},
        {"model": "b.gguf", "phase": "decode", "ours_tok_s": 1.0, "peer": "openvino 1", "peer_tok_s": 2.0},
        {"model": "c.gguf", "phase": "decode", "ours_tok_s": 1.0, "peer": None, "peer_tok_s": None},
    ]
    bars = readme_picture.speeds(rows, "a")
    assert [values["decode"] for values in bars.values()] == [9.0, 4.0, 3.0]
    with pytest.raises(ValueError, match="no rows of c"):
        readme_picture.speeds(rows, "c")


def test_spreads_are_over_the_smallest(tmp_path: Path) -> None:
    with (tmp_path / "shapes.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ["decode_ms", "prefill_ms", "nats_per_byte"])
        writer.writeheader()
        writer.writerow({"decode_ms": 0.5, "prefill_ms": 10, "nats_per_byte": 2})
        writer.writerow({"decode_ms": 0.25, "prefill_ms": 15, "nats_per_byte": 2.5})
    points = readme_picture.spreads(tmp_path / "shapes.csv")
    assert points == {"decode_ms": [2, 1], "prefill_ms": [1, 1.5], "nats_per_byte": [1, 1.25]}


def test_the_picture_and_the_page_of_results_show_the_same_figures() -> None:
    lines = (ROOT / "docs/results.md").read_text().splitlines()
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if line.startswith("|")]
    for row in document():
        name = f"{row['model']}, {readme_picture.PHASES[row['phase']]}"
        written = next(cell for cell in cells if cell[0] == name)
        numbers = {float(re.sub(",", "", cell)) for cell in written[1:]}
        assert {row["ours_tok_s"], row["peer_tok_s"], row["floor_tok_s"]} <= numbers, name


def test_committed_pictures_are_what_the_command_draws() -> None:
    bars = readme_picture.speeds(document(), "SmolLM2-135M")
    points = readme_picture.spreads(ROOT / "research/shape_claim.csv")
    light, dark = readme_picture.THEMES.values()
    drawn = readme_picture.picture("SmolLM2-135M", bars, points, light)
    assert light.ink in drawn
    assert dark.ink not in drawn
    committed = (ROOT / "docs/figures/overview-light.svg").read_text()
    assert num_shapes(drawn) == num_shapes(committed)


def num_shapes(svg: str) -> int:
    return svg.count("<path") + svg.count("<use")
