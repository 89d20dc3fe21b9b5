from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from markupsafe import escape
from matplotlib.figure import Figure

from phonelm.report import write_design_page
from phonelm.search import Design, SearchConfig, Verification, Verified, search
from phonelm.search.verification import agreement
from synthetic import synthetic_profile
from tags import Tags

SPACE = {"hidden": {"min": 64, "max": 512, "step": 64}, "head_dim": [32, 64]}


@pytest.fixture(scope="module")
def design() -> Design:
    settings = {
        "params": "4.7M",
        "vocab_size": 4096,
        "space": SPACE,
        "max_memory_mb": 10,
        "keep": {"layers": 9},
    }
    profile = synthetic_profile()
    machine = profile.machine.model_copy(update={"model": "A <chip> & more"})
    return search(SearchConfig.model_validate(settings), profile.model_copy(update={"machine": machine}))


def verified(design: Design) -> Design:
    """As if all models had been measured, a tenth slower than predicted."""
    shown = [("chosen", design.chosen), *((one.name, one.candidate) for one in design.conventional)]
    rows = [
        Verified(
            role=role,
            config=shape.config,
            predicted_decode_ms=shape.decode_ms,
            measured_decode_ms=1.1 * shape.decode_ms,
            decode_spread=0.02,
            predicted_prefill_ms=shape.prefill_ms,
            measured_prefill_ms=1.1 * shape.prefill_ms,
            prefill_spread=0.02,
        )
        for role, shape in shown
    ]
    agrees = agreement([1.0, 2.0, 3.0], [1.1, 2.2, 3.3])
    found = Verification(rows=rows, decode=agrees, prefill=agrees, rounds=3, wall_s=1.0)
    return design.model_copy(update={"verification": found})


@pytest.mark.parametrize("is_verified", [False, True])
def test_the_page_stands_alone(design: Design, is_verified: bool, tmp_path: Path) -> None:
    shown = verified(design) if is_verified else design
    page = write_design_page(shown, tmp_path / "design.html").read_text()
    tags = Tags()
    tags.feed(page)
    assert not tags.loads
    assert "http" not in page
    assert not {"script", "link", "img", "iframe"} & set(tags.tags)
    assert tags.tags.count("svg") == (6 if is_verified else 4)
    assert len(tags.ids) == len(set(tags.ids))
    assert set(re.findall(r'(?:href="|url\()#([^")]+)', page)) <= set(tags.ids)


def test_the_page_holds_what_was_found(design: Design, tmp_path: Path) -> None:
    page = write_design_page(verified(design), tmp_path / "design.html").read_text()
    for one in design.conventional:
        assert one.name in page
    for words in ("A &lt;chip&gt; &amp; more", "-9.1 %", "max_memory_mb 10", "layers 9", design.chosen.name):
        assert words in page
    assert escape(design.quality_note) in page


def test_a_design_that_was_not_verified_says_why(design: Design, tmp_path: Path) -> None:
    noted = design.model_copy(update={"verification_note": "Not measured: the machine is elsewhere."})
    assert "the machine is elsewhere" in write_design_page(noted, tmp_path / "design.html").read_text()


def test_a_legend_covers_no_marker(design: Design, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[str] = []

    def look(figure: Figure, *_: Any, **__: Any) -> None:
        figure.canvas.draw()
        for axes in figure.axes:
            legend = axes.get_legend()
            assert legend is not None
            assert legend.get_window_extent().y0 >= axes.get_window_extent().y1
            drawn.append(axes.get_xlabel())

    real = Figure.savefig

    def save(figure: Figure, *args: Any, **options: Any) -> None:
        look(figure)
        real(figure, *args, **options)

    monkeypatch.setattr(Figure, "savefig", save)
    write_design_page(verified(design), tmp_path / "design.html")
    assert len(drawn) == 6
