"""The survey's figures of speed and memory against size, shape and accuracy, measured on a device."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from phonelm.report.style import SAFE
from phonelm.report.survey.axes import MARKERS, label_points, log_axis, scatter
from phonelm.report.survey.data import MeasuredModel, published_scores
from phonelm.report.survey.figure import Figure, Record

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas


def accuracy_figure(models: Sequence[MeasuredModel], device: str) -> Figure | None:
    """Published accuracy against decode speed, a panel a source; None where no measured model has a score."""
    by_name = {model.name: measured for measured in models for model in measured.models}
    table: list[Record] = [
        {
            "metric": score.metric,
            "model": score.published_as,
            "date": next(m.date for m in by_name[score.model].models if m.name == score.model),
            "parameters_m": round(by_name[score.model].row.parameters / 1e6, 1),
            "accuracy_percent": score.accuracy_percent,
            "decode_tok_s": by_name[score.model].row.at(50).decode_tok_s,
            "prefill_512_tok_s": by_name[score.model].row.at(512).prefill_tok_s,
            "source": score.source,
        }
        for score in published_scores()
        if score.model in by_name
    ]
    if not table:
        return None
    return Figure(
        "accuracy",
        f"Published accuracy against decode speed, Q4_0, {device}",
        f"{len(table)} of {len(published_scores())} published accuracies are of models that were measured. "
        "The accuracies are of the authors' own checkpoints, each panel of one source, and cannot be "
        "compared between panels; the speed is of random weights of the same shape, at position 50.",
        table,
        (9.2, 4.2),
        _paint_accuracy,
    )


def _paint_accuracy(canvas: Canvas, table: list[Record]) -> None:
    metrics = list(dict.fromkeys(record["metric"] for record in table))
    years = sorted({record["date"][:4] for record in table})
    panels = canvas.subplots(1, len(metrics), squeeze=False)[0]
    for axes, metric in zip(panels, metrics, strict=True):
        records = [record for record in table if record["metric"] == metric]
        for year, colour, marker in zip(years, SAFE, MARKERS, strict=False):
            some = [record for record in records if record["date"].startswith(year)]
            scatter(axes, some, "decode_tok_s", "accuracy_percent", colour, marker, f"released {year}")
        log_axis(axes.xaxis)
        axes.margins(0.14)
        axes.set_xlabel("decode (tokens/s)")
        axes.set_ylabel(f"accuracy, {metric} (%)")
        axes.legend(loc="best", fontsize=8)
    for axes, metric in zip(panels, metrics, strict=True):
        label_points(axes, [r for r in table if r["metric"] == metric], "decode_tok_s", "accuracy_percent")


def latency_figure(models: Sequence[MeasuredModel], device: str) -> Figure:
    """Time to the first token and time per token against parameters."""
    table: list[Record] = []
    for model in models:
        for timing in model.row.prompts:
            table.append(
                {
                    "model": model.label,
                    "parameters_m": round(model.row.parameters / 1e6, 1),
                    "prompt_tokens": timing.prompt_tokens,
                    "first_token_ms": 1e3 * timing.prefill_s.median,
                    "first_token_low_ms": 1e3 * timing.prefill_s.low,
                    "first_token_high_ms": 1e3 * timing.prefill_s.high,
                    "decode_ms": 1e3 * timing.decode_s.median,
                    "decode_low_ms": 1e3 * timing.decode_s.low,
                    "decode_high_ms": 1e3 * timing.decode_s.high,
                }
            )
    return Figure(
        "latency",
        f"Latency against parameters, Q4_0, {device}",
        "Medians of two or three rounds; latency.csv has the range. Decode is the time per token after a "
        "prompt of 50 or 512 tokens.",
        table,
        (9.6, 5.4),
        _paint_latency,
    )


def _paint_latency(canvas: Canvas, table: list[Record]) -> None:
    panels = canvas.subplots(1, 2)
    titles = {"first_token_ms": "time to the first token (ms)", "decode_ms": "decode, time per token (ms)"}
    lengths = sorted({record["prompt_tokens"] for record in table})
    for axes, (column, title) in zip(panels, titles.items(), strict=True):
        for length, colour, marker in zip(lengths, SAFE, MARKERS, strict=False):
            some = [record for record in table if record["prompt_tokens"] == length]
            scatter(axes, some, "parameters_m", column, colour, marker, f"prompt of {length}")
        log_axis(axes.xaxis)
        log_axis(axes.yaxis)
        axes.margins(0.1)
        axes.set_xlabel("parameters (millions)")
        axes.set_ylabel(title)
        axes.legend(loc="best", fontsize=8)
    longest = [record for record in table if record["prompt_tokens"] == lengths[-1]]
    for axes, column in zip(panels, titles, strict=True):
        label_points(axes, longest, "parameters_m", column, 6.0)


def memory_figure(models: Sequence[MeasuredModel], device: str) -> Figure:
    """Peak memory against parameters, by the vocabulary."""
    table: list[Record] = [
        {
            "model": model.label,
            "parameters_m": round(model.row.parameters / 1e6, 1),
            "vocabulary": model.row.shape.vocab_size,
            "peak_mb": model.row.peak_rss_bytes / 1e6,
        }
        for model in models
    ]
    return Figure(
        "memory",
        f"Peak memory against parameters, Q4_0, {device}",
        "The most memory that the process held at once, with keys and values of 528 positions.",
        table,
        (7.6, 4.8),
        _paint_memory,
    )


def _paint_memory(canvas: Canvas, table: list[Record]) -> None:
    axes = canvas.subplots()
    classes: dict[str, Callable[[int], bool]] = {
        "vocabulary up to 33k": lambda size: size <= 33_000,
        "33k to 100k": lambda size: 33_000 < size <= 100_000,
        "above 100k": lambda size: size > 100_000,
    }
    for (label, belongs), colour, marker in zip(classes.items(), SAFE, MARKERS, strict=False):
        some = [record for record in table if belongs(record["vocabulary"])]
        scatter(axes, some, "parameters_m", "peak_mb", colour, marker, label)
    log_axis(axes.xaxis)
    log_axis(axes.yaxis)
    axes.margins(0.08)
    axes.set_xlabel("parameters (millions)")
    axes.set_ylabel("peak memory (MB)")
    axes.legend(loc="best", fontsize=8)
    label_points(axes, table, "parameters_m", "peak_mb", 6.5)


def shape_figure(models: Sequence[MeasuredModel], device: str) -> Figure:
    """Time per parameter against the shape: what the arrangement of parameters costs."""
    table: list[Record] = [
        {
            "model": model.label,
            "parameters_m": round(model.row.parameters / 1e6, 1),
            "width_per_layer": model.row.shape.hidden_size / model.row.shape.num_layers,
            "decode_512_ms_per_billion": 1e12 * model.row.at(512).decode_s.median / model.row.parameters,
            "prefill_512_ms_per_token_billion": 1e12
            * model.row.at(512).prefill_s.median
            / 512
            / model.row.parameters,
        }
        for model in models
    ]
    return Figure(
        "shape",
        f"Time per parameter against the shape, Q4_0, {device}",
        "Hidden size over layers: deep and thin models to the left, shallow and wide ones to the right. "
        "At equal size, what is lower is faster.",
        table,
        (9.6, 4.4),
        _paint_shape,
    )


def _paint_shape(canvas: Canvas, table: list[Record]) -> None:
    panels = canvas.subplots(1, 2)
    columns = {
        "decode_512_ms_per_billion": "decode at 512, per token\n(ms per billion parameters)",
        "prefill_512_ms_per_token_billion": "prefill of 512, per token\n(ms per billion parameters)",
    }
    classes: dict[str, Callable[[float], bool]] = {
        "below 0.5B": lambda size: size < 500,
        "0.5B to 1.5B": lambda size: 500 <= size < 1500,
        "1.5B and more": lambda size: size >= 1500,
    }
    for axes, (column, title) in zip(panels, columns.items(), strict=True):
        for (label, belongs), colour, marker in zip(classes.items(), SAFE, MARKERS, strict=False):
            some = [record for record in table if belongs(record["parameters_m"])]
            scatter(axes, some, "width_per_layer", column, colour, marker, label)
        axes.margins(0.1)
        axes.set_xlabel("hidden size / layers")
        axes.set_ylabel(title)
    panels[1].legend(loc="best", fontsize=8)
    for axes, column in zip(panels, columns, strict=True):
        label_points(axes, table, "width_per_layer", column, 6.0)
