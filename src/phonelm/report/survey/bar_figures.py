"""The survey's figures of parts and types, measured on a device."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from phonelm.bench.suite.result import PARTS
from phonelm.report.style import SAFE
from phonelm.report.survey.axes import HATCHES, stack
from phonelm.report.survey.data import MeasuredModel
from phonelm.report.survey.figure import Figure, Record

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

PART_NAMES = {
    "attention": "attention",
    "ffn": "FFN",
    "head": "output head",
    "norms": "norms and rounding",
    "overhead": "all else",
}
MEMORY_PARTS = {
    "weights_mb": "weights",
    "kv_mb": "keys and values",
    "buffers_mb": "buffers",
    "base_mb": "base (Python, runtime)",
}
_BAR_INCHES = 0.21


def quantization_figure(models: Sequence[MeasuredModel], device: str) -> Figure | None:
    """Latency by type of the weights, of the model measured in most types; None where all have one."""
    by_shape: dict[str, list[MeasuredModel]] = {}
    for model in models:
        by_shape.setdefault(model.names, []).append(model)
    of_one = max(by_shape.values(), key=len, default=[])
    if len(of_one) < 2:
        return None
    table: list[Record] = [
        {
            "model": model.label,
            "type": model.row.block_type.upper(),
            "head_type": model.row.head_type.upper(),
            "file_mb": model.row.file_bytes / 1e6,
            "first_token_512_ms": 1e3 * model.row.at(512).prefill_s.median,
            "decode_50_ms": 1e3 * model.row.at(50).decode_s.median,
            "decode_512_ms": 1e3 * model.row.at(512).decode_s.median,
        }
        for model in sorted(of_one, key=lambda model: -model.row.file_bytes)
    ]
    return Figure(
        "quantization",
        f"Latency by quantization, {of_one[0].label}, {device}",
        "The largest file first; the output head is of the type that llama.cpp's files have "
        "(Q6_K beside most block types).",
        table,
        (8.6, 3.8),
        _paint_quantization,
    )


def _paint_quantization(canvas: Canvas, table: list[Record]) -> None:
    panels = canvas.subplots(1, 2)
    names = [record["type"] for record in table]
    for axes, series, title in (
        (panels[0], {"first_token_512_ms": "512 tokens"}, "time to the first token (ms)"),
        (panels[1], {"decode_50_ms": "at 50", "decode_512_ms": "at 512"}, "decode, time per token (ms)"),
    ):
        width = 0.8 / len(series)
        for index, (column, label) in enumerate(series.items()):
            places = [i + (index - (len(series) - 1) / 2) * width for i in range(len(names))]
            values = [record[column] for record in table]
            look = {"color": SAFE[index], "hatch": HATCHES[index], "edgecolor": "white", "linewidth": 0}
            bars = axes.bar(places, values, width * 0.92, label=label, **look)
            axes.bar_label(bars, fmt="{:,.0f}", fontsize=6.5, padding=1)
        axes.set_xticks(range(len(names)), names, fontsize=8)
        axes.set_ylabel(title)
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        axes.grid(axis="x", visible=False)
        axes.margins(y=0.16)
        axes.legend(loc="upper right", fontsize=8)


def split_figure(models: Sequence[MeasuredModel], device: str) -> Figure | None:
    """Shares of a pass's time by part of the model; None where no row has them."""
    models = [model for model in models if model.row.at(512).prefill_parts_s]
    if not models:
        return None
    table: list[Record] = [
        {
            "model": model.label,
            "phase": phase,
            **{f"{name}_percent": 100 * parts[name] / sum(parts.values()) for name in PARTS},
            "total_ms": 1e3 * sum(parts.values()),
        }
        for model in models
        for phase, parts in (
            ("prefill of 512", model.row.at(512).prefill_parts_s),
            ("decode at 512", model.row.at(512).decode_parts_s),
        )
    ]
    return Figure(
        "latency-split",
        f"Where the time goes, Q4_0, {device}",
        "Of the first thread's time, waiting for the others included. Attention has its four projections; "
        "norms have the rounding of what they give to int8. The smallest model is on top.",
        table,
        (9.2, 1.5 + _BAR_INCHES * len(models)),
        _paint_split,
    )


def _paint_split(canvas: Canvas, table: list[Record]) -> None:
    phases = list(dict.fromkeys(record["phase"] for record in table))
    panels = canvas.subplots(1, len(phases), sharey=True)
    columns = {f"{name}_percent": label for name, label in PART_NAMES.items()}
    for axes, phase in zip(panels, phases, strict=True):
        records = [record for record in table if record["phase"] == phase]
        stack(axes, records, columns)
        axes.set_xlim(0, 100)
        axes.set_xlabel(f"{phase} (% of the time)")
    handles, labels = panels[0].get_legend_handles_labels()
    canvas.legend(handles, labels, loc="outside lower center", ncols=len(labels), fontsize=8)


def memory_split_figure(models: Sequence[MeasuredModel], device: str) -> Figure:
    """The parts of the peak memory."""
    table: list[Record] = [
        {
            "model": model.label,
            "weights_mb": model.row.weight_bytes / 1e6,
            "kv_mb": model.row.kv_bytes / 1e6,
            "buffers_mb": model.row.buffer_bytes / 1e6,
            "base_mb": model.row.base_bytes / 1e6,
            "kv_positions": model.row.at(512).prompt_tokens + model.row.at(512).decoded_tokens,
        }
        for model in models
    ]
    return Figure(
        "memory-split",
        f"What the memory is for, Q4_0, {device}",
        "At the peak, with keys and values (f16) of 528 positions. Buffers are all else at the peak: working "
        "memory, tokenizer, pages of the file while it is read.",
        table,
        (8.2, 1.4 + _BAR_INCHES * len(models)),
        _paint_memory_split,
    )


def _paint_memory_split(canvas: Canvas, table: list[Record]) -> None:
    axes = canvas.subplots()
    stack(axes, table, MEMORY_PARTS)
    axes.set_xlabel("memory (MB)")
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    handles, labels = axes.get_legend_handles_labels()
    canvas.legend(handles, labels, loc="outside lower center", ncols=len(labels), fontsize=8)
