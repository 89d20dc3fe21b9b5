"""The tables that people read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

Job = dict[str, Any]
BEST = "*"
PLAIN_TABLE_WIDTH = 150
"""Of a file or a pipe, which have no width of their own."""


def show(document: Job, *, on_stderr: bool) -> None:
    """Print a table of each section that the document has."""
    console = Console(stderr=on_stderr, highlight=False)
    if not console.is_terminal:
        console = Console(stderr=on_stderr, highlight=False, width=PLAIN_TABLE_WIDTH)
    if document["rows"]:
        console.print(_speed(document["rows"]))
    if threads := document.get("threads"):
        console.print(_threads(threads))
    for name in ("load", "scoring", "sparse"):
        if name in document:
            console.print(_facts(name, document[name]))


def show_decoding(document: Job, *, on_stderr: bool) -> None:
    """Print the rows of benchmarks/decoding.py."""
    columns = {
        "tokens": "tokens",
        "without": "without_tok_s",
        "with": "tok_s",
        "ratio": "ratio",
        "drafted": "drafted",
        "accepted": "acceptance",
        "same text": "same_text",
    }
    table = _table("decode with and without, tokens/s", ("model", "task"), columns)
    for row in document["rows"]:
        numbers = (_text(row.get(key)) for key in columns.values())
        table.add_row(Path(row["model"]).name, row["task"], *numbers)
    console = Console(stderr=on_stderr, highlight=False)
    wide = Console(stderr=on_stderr, highlight=False, width=PLAIN_TABLE_WIDTH)
    (console if console.is_terminal else wide).print(table)


def show_types(document: Job, *, on_stderr: bool) -> None:
    """Print the rates of benchmarks/tensor_types.py."""
    columns = {
        "bits": "bits_per_weight",
        "decode GB/s": "decode_gb_s",
        "bytes/s": "decode_bytes",
        "weights/s": "decode_weights",
        "prefill": "prefill",
    }
    table = _table("types, relative to Q4_0", ("type", "isa"), columns)
    for row in document["rows"]:
        table.add_row(row["type"], row["isa"], *(_text(row[key]) for key in columns.values()))
    Console(stderr=on_stderr, highlight=False).print(table)


def _speed(rows: Sequence[Job]) -> Table:
    title = f"this runtime and its peers ({BEST} the best one), tokens/s"
    table = _table(title, ("model", "type", "phase", "peer"), _SPEED_COLUMNS)
    for row in rows:
        marked = f"{BEST if row.get('best_peer') else ' '} {(row['peer'] or 'none').split()[0]}"
        numbers = [row.get(key) for key in _SPEED_COLUMNS.values()]
        table.add_row(Path(row["model"]).name, row["type"], row["phase"], marked, *map(_text, numbers))
    return table


_SPEED_COLUMNS = {
    "threads": "threads",
    "ours": "ours_tok_s",
    "peer's": "peer_tok_s",
    "ratio": "ratio",
    "floor": "floor_tok_s",
    "share": "share_of_floor",
    "our MB": "ours_peak_mb",
    "its MB": "peer_peak_mb",
    "equal": "equal_greedy_tokens",
}


def _threads(section: Job) -> Table:
    columns = {
        "prefill": "prefill_tok_s",
        "times slower": "prefill_cost",
        "decode": "decode_tok_s",
        "times slower ": "decode_cost",
    }
    table = _table(
        f"threads on {section['cores']} cores ({section['model']}), tokens/s", ("threads",), columns
    )
    for row in section["rows"]:
        chosen = f" ({row['prefill_threads']}, {row['decode_threads']})" if row["threads"] == "chosen" else ""
        table.add_row(row["threads"] + chosen, *(_text(row[key]) for key in columns.values()))
    return table


def _facts(name: str, section: Job) -> Table:
    table = _table(name, ("", " "), {})
    for key, value in section.items():
        table.add_row(key, _text(value))
    return table


def _table(title: str, texts: Iterable[str], numbers: Iterable[str]) -> Table:
    table = Table(title=title, title_justify="left")
    for text in texts:
        table.add_column(text, overflow="fold")
    for number in numbers:
        table.add_column(number, justify="right")
    return table


def _text(value: Any) -> str:
    if isinstance(value, list):
        return " ".join(map(_text, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "" if value is None else f"{value:,}" if isinstance(value, int | float) else str(value)
