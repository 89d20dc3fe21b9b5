"""The tables of `phonelm bench --suite`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from phonelm.bench.suite.result import SuiteRow

if TYPE_CHECKING:
    from rich.table import Table


def suite_table(rows: Sequence[SuiteRow]) -> Table:
    """A row per shape: tokens per second of prompts and after them, and the peak memory."""
    table = _table("the suite, tokens/s (medians)")
    table.add_column("model", overflow="fold")
    table.add_column("type", no_wrap=True)
    lengths = [timing.prompt_tokens for timing in rows[0].prompts]
    headings = [f"prefill\n{n}" for n in lengths] + [f"decode\nat {n}" for n in lengths]
    for heading in ("params\nM", *headings, "peak\nMB"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        prefills = [f"{row.at(n).prefill_tok_s:,.0f}" for n in lengths]
        decodes = [f"{row.at(n).decode_tok_s:,.1f}" for n in lengths]
        size = f"{row.parameters / 1e6:,.0f}"
        peak = f"{row.peak_rss_bytes / 1e6:,.0f}"
        table.add_row(row.measured_as, row.block_type, size, *prefills, *decodes, peak)
    return table


def left_out_table(left_out: Mapping[str, str]) -> Table:
    """The models that were not measured, by the reason."""
    table = _table(f"not measured: {len(left_out)}")
    table.add_column("reason", overflow="fold")
    table.add_column("models", overflow="fold")
    for reason in dict.fromkeys(left_out.values()):
        table.add_row(reason, ", ".join(name for name, why in left_out.items() if why == reason))
    return table


def _table(title: str) -> Table:
    from rich import box
    from rich.table import Table

    return Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
