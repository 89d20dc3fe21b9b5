"""The survey's figures of the models themselves, from the registry."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING

from phonelm.arch.registry import RegistryRow, registry
from phonelm.report.style import SAFE
from phonelm.report.survey.axes import MARKERS, log_axis, scatter
from phonelm.report.survey.figure import Figure, Record, place_labels

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

_FIRST_YEAR = 2022
"""The survey's; earlier models are in the registry for comparison."""
_INK_ON = {SAFE[1]: "#111111", SAFE[5]: "#111111"}
"""What is read on the lighter colours."""


def timeline_figure() -> Figure:
    """Models over time."""
    table: list[Record] = [
        {
            "model": row.name,
            "org": row.org,
            "date": row.date,
            "parameters_m": row.params_m,
            "attention": _attention(row),
            "training_tokens_b": row.tokens_b,
        }
        for row in _surveyed()
        if row.params_m
    ]
    return Figure(
        "models-over-time",
        "Small language models over time",
        "From the registry; where names would cover each other some are left out, the table has all.",
        table,
        (10.4, 6.0),
        _paint_timeline,
    )


def _paint_timeline(canvas: Canvas, table: list[Record]) -> None:
    axes = canvas.subplots()
    points = [{**record, "when": _years(record["date"])} for record in table]
    kinds = [kind for kind, _ in Counter(record["attention"] for record in table).most_common()]
    for kind, colour, marker in zip(kinds, SAFE, MARKERS, strict=False):
        some = [point for point in points if point["attention"] == kind]
        scatter(axes, some, "when", "parameters_m", colour, marker, kind)
    log_axis(axes.yaxis)
    axes.margins(0.06)
    axes.set_xticks(_quarters(points), [_quarter(place) for place in _quarters(points)], fontsize=8)
    axes.set_xlabel("release")
    axes.set_ylabel("parameters (millions)")
    canvas.legend(loc="outside lower center", ncols=len(kinds), fontsize=8)
    place_labels(axes, [(p["when"], p["parameters_m"], p["model"]) for p in points], 6.0)


def kinds_figure() -> Figure:
    """Kinds of attention, FFN, activation and norm by year."""
    kinds: dict[str, Callable[[RegistryRow], str]] = {
        "attention": _attention,
        "FFN": lambda row: row.ffn_type.split(" (")[0],
        "activation": lambda row: row.activation.replace("GELU-tanh", "GELU"),
        "norm": lambda row: row.norm.split(" (")[0],
    }
    counts = Counter(
        (what, row.date[:4], kind(row)) for row in _surveyed() for what, kind in kinds.items() if kind(row)
    )
    table: list[Record] = [
        {"what": what, "year": year, "kind": kind, "models": number}
        for (what, year, kind), number in sorted(counts.items(), key=lambda item: (item[0][1], item[0][2]))
    ]
    table.sort(key=lambda record: list(kinds).index(record["what"]))
    return Figure(
        "kinds-over-time",
        "What small language models are made of, by year of release",
        "From the registry: shares of the year's models; the numbers are of models.",
        table,
        (10.0, 3.4),
        _paint_kinds,
    )


def _paint_kinds(canvas: Canvas, table: list[Record]) -> None:
    whats = list(dict.fromkeys(record["what"] for record in table))
    years = sorted({record["year"] for record in table})
    panels = canvas.subplots(1, len(whats), sharey=True)
    for axes, what in zip(panels, whats, strict=True):
        records = [record for record in table if record["what"] == what]
        totals = {year: sum(r["models"] for r in records if r["year"] == year) for year in years}
        bottom = dict.fromkeys(years, 0.0)
        kinds = sorted({r["kind"] for r in records}, key=lambda kind: -_number(records, kind))
        for kind, colour in zip(kinds, SAFE, strict=False):
            for year in years:
                number = _number(records, kind, year)
                share = 100 * number / totals[year]
                first = year == years[0]
                axes.bar(year, share, 0.7, bottom=bottom[year], color=colour, label=kind if first else None)
                if share >= 8:
                    axes.text(year, bottom[year] + share / 2, str(number), ha="center", va="center",
                              fontsize=7.5, color=_INK_ON.get(colour, "white"))  # fmt: skip
                bottom[year] += share
        axes.set_xlabel(what)
        axes.grid(axis="x", visible=False)
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, fontsize=7.5, handlelength=1)
    panels[0].set_ylabel("models of the year (%)")


def vocabulary_figure() -> Figure:
    """Vocabulary sizes over time, by whether the output head is the embedding."""
    table: list[Record] = [
        {"model": row.name, "date": row.date, "vocabulary": row.vocab, "tied_embeddings": row.tied}
        for row in _surveyed()
        if row.vocab and row.tied is not None
    ]
    return Figure(
        "vocabulary-over-time",
        "Vocabulary sizes over time",
        "From the registry. A large vocabulary is a large output head, which decode reads for every token.",
        table,
        (9.2, 4.4),
        _paint_vocabulary,
    )


def _paint_vocabulary(canvas: Canvas, table: list[Record]) -> None:
    axes = canvas.subplots()
    points = [{**record, "when": _years(record["date"])} for record in table]
    for tied, colour, marker, label in (
        (True, SAFE[0], "o", "tied embeddings"),
        (False, SAFE[3], "s", "untied"),
    ):
        some = [point for point in points if point["tied_embeddings"] == tied]
        scatter(axes, some, "when", "vocabulary", colour, marker, label)
    log_axis(axes.yaxis)
    axes.margins(0.08)
    axes.set_xticks(_quarters(points), [_quarter(place) for place in _quarters(points)], fontsize=8)
    axes.set_xlabel("release")
    axes.set_ylabel("vocabulary (tokens)")
    axes.legend(loc="best", fontsize=8)
    spots: dict[tuple[float, float], dict[str, None]] = {}
    for point in points:
        family = point["model"].rpartition("-")[0]
        spots.setdefault((point["when"], point["vocabulary"]), {})[family] = None
    place_labels(axes, [(*spot, ", ".join(families)) for spot, families in spots.items()], 6.5)


def _surveyed() -> list[RegistryRow]:
    return [row for row in registry() if int(row.date[:4]) >= _FIRST_YEAR]


def _attention(row: RegistryRow) -> str:
    return row.attention.split(" ")[0]


def _number(records: list[Record], kind: str, year: str | None = None) -> int:
    return sum(r["models"] for r in records if r["kind"] == kind and year in (None, r["year"]))


def _years(date: str) -> float:
    """A month as years: 2024-07 is 2024.5."""
    year, month = date.split("-")
    return int(year) + (int(month) - 1) / 12


def _quarters(points: list[Record]) -> list[float]:
    first = int(4 * min(point["when"] for point in points))
    last = int(4 * max(point["when"] for point in points)) + 1
    return [quarter / 4 for quarter in range(first, last + 1)]


def _quarter(place: float) -> str:
    return f"{int(place)}\nQ{int(4 * (place % 1)) + 1}" if place % 1 == 0 else f"Q{int(4 * (place % 1)) + 1}"
