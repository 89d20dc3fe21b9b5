from __future__ import annotations

import csv
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from phonelm.arch.registry import registry
from phonelm.bench.suite import Device, choose_device, devices_of, select
from phonelm.report.survey import measured_models, published_scores, survey_figures, write_survey
from phonelm.report.survey.figure import place_labels
from suite_rows import MACHINE, synthetic_row

MEASURED = (
    "accuracy", "latency", "memory", "quantization", "latency-split", "memory-split", "shape"
)  # fmt: skip
OF_REGISTRY = ("models-over-time", "kinds-over-time", "vocabulary-over-time")


@pytest.fixture(scope="module")
def device() -> Device:
    entries = select().entries
    tiny_llama = next(entry for entry in entries if "TinyLlama-1.1B" in entry.names)
    others = [synthetic_row(tiny_llama, block_type) for block_type in ("f16", "q8_0", "q4_k")]
    return choose_device([*(synthetic_row(entry) for entry in entries[:-3]), *others], MACHINE)


@pytest.fixture(scope="module")
def folder(device: Device, tmp_path_factory: pytest.TempPathFactory) -> Path:
    other = synthetic_row(select().entries[0], machine=MACHINE.model_copy(update={"model": "Other <CPU>"}))
    return write_survey(device, tmp_path_factory.mktemp("survey"), devices_of([other])).parent


class Page(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.loads: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(value or "")
            if name in ("src", "href", "xlink:href") and not (value or "").startswith("#"):
                self.loads.append(value or "")


def test_a_figure_is_a_picture_a_drawing_and_a_table(device: Device, folder: Path) -> None:
    figures = survey_figures(device)
    assert [figure.name for figure in figures] == [*MEASURED, *OF_REGISTRY]
    assert {path.name for path in folder.iterdir()} == {
        "survey.html", *(f"{figure.name}.{kind}" for figure in figures for kind in ("png", "svg", "csv"))
    }  # fmt: skip
    for figure in figures:
        assert (folder / f"{figure.name}.png").read_bytes().startswith(b"\x89PNG")
        assert "<svg" in (folder / f"{figure.name}.svg").read_text()
        lines = list(csv.DictReader((folder / f"{figure.name}.csv").open()))
        assert lines == [{key: str(value) for key, value in _text(line).items()} for line in figure.table]
        about = "Test CPU" if figure.name in MEASURED else "over time|by year"
        assert re.search(about, figure.title)


def _text(record: dict[str, object]) -> dict[str, object]:
    return {key: "" if value is None else value for key, value in record.items()}


def test_what_is_drawn_is_what_the_table_says(device: Device) -> None:
    from matplotlib.figure import Figure as Canvas

    figures = {figure.name: figure for figure in survey_figures(device)}
    columns = {
        "memory": [("parameters_m", "peak_mb")],
        "latency": [("parameters_m", "first_token_ms"), ("parameters_m", "decode_ms")],
    }
    for name, panels in columns.items():
        canvas = Canvas(layout="constrained")
        figures[name].paint(canvas, figures[name].table)
        for axes, (x, y) in zip(canvas.axes, panels, strict=True):
            drawn = np.concatenate([np.asarray(marks.get_offsets()) for marks in axes.collections])
            expected = [(record[x], record[y]) for record in figures[name].table]
            np.testing.assert_allclose(sorted(map(tuple, drawn)), sorted(expected))
    for name, total in (("latency-split", None), ("memory-split", "peak")):
        canvas = Canvas(layout="constrained")
        figures[name].paint(canvas, figures[name].table)
        widths = sum(bar.get_width() for axes in canvas.axes for bar in axes.patches)
        parts = ("_percent",) if total is None else ("_mb",)
        table = figures[name].table
        assert widths == pytest.approx(sum(v for r in table for k, v in r.items() if k.endswith(parts)))


def test_the_page_stands_alone_and_refers_to_itself_only(folder: Path) -> None:
    text = (folder / "survey.html").read_text()
    page = Page(text)
    assert not page.loads
    assert "http" not in text
    assert not {"script", "link", "img", "iframe"} & set(page.tags)
    assert page.tags.count("svg") == len(MEASURED) + len(OF_REGISTRY)
    assert len(page.ids) == len(set(page.ids))
    assert set(re.findall(r'(?:href="|url\()#([^")]+)', text)) <= set(page.ids)
    assert "Other &lt;CPU&gt;" in text


def test_the_page_names_every_model_of_the_registry(folder: Path) -> None:
    text = (folder / "survey.html").read_text()
    assert "norms of the kind LayerNorm" in text
    assert "not measured on this device" in text
    tables = text[text.index("The measurements") :]
    assert all(row.name in tables for row in registry())


def test_models_of_one_shape_share_a_row(device: Device) -> None:
    models = measured_models(device.rows)
    labels = [model.label for model in models]
    assert "SmolLM/SmolLM2-135M" in labels
    assert "TinyLlama-1.1B, MobiLlama-1B" in labels
    assert [model.row.parameters for model in models] == sorted(model.row.parameters for model in models)


def test_a_machine_may_be_called_anything(tmp_path: Path) -> None:
    machine = MACHINE.model_copy(update={"model": 'A "$_{" <script>CPU</script>'})
    (device,) = devices_of([synthetic_row(select().entries[0], machine=machine)])
    text = write_survey(device, tmp_path).read_text()
    assert "script" not in Page(text).tags
    assert "&lt;script&gt;CPU" in text


def test_few_rows_give_the_figures_that_they_can(tmp_path: Path) -> None:
    entry = next(entry for entry in select().entries if "AMD-Llama-135M" in entry.names)
    (device,) = devices_of([synthetic_row(entry)])
    names = [figure.name for figure in survey_figures(device)]
    assert not {"accuracy", "quantization"} & set(names)
    assert write_survey(device, tmp_path).is_file()
    (float_only,) = devices_of([synthetic_row(entry, "f16")])
    with pytest.raises(ValueError, match="no Q4_0 rows of Test CPU"):
        write_survey(float_only, tmp_path)


def test_published_scores_have_a_model_and_a_source() -> None:
    scores, names = published_scores(), {row.name for row in registry()}
    assert len(scores) == 48
    assert len({(score.model, score.metric) for score in scores}) == len(scores)
    for score in scores:
        assert score.model in names
        assert 25 < score.accuracy_percent < 100
        assert "arXiv" in score.source


def test_labels_cover_neither_each_other_nor_points() -> None:
    from matplotlib.figure import Figure as Canvas

    rng = np.random.default_rng(0)
    points = [(float(x), float(y), f"model {i}") for i, (x, y) in enumerate(rng.random((60, 2)) ** 2)]
    canvas = Canvas(figsize=(6, 4), layout="constrained")
    axes = canvas.subplots()
    axes.scatter([p[0] for p in points], [p[1] for p in points], s=9)
    place_labels(axes, points)
    assert len(axes.texts) > 30
    boxes = [_text_box(label) for label in axes.texts]
    for box in boxes:
        assert sum(box.overlaps(other) for other in boxes) == 1


def _text_box(label: Any) -> Any:
    from matplotlib.text import Text

    # An annotation's own extent has its arrow in it.
    return Text.get_window_extent(label)
