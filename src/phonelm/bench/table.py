"""The table of `phonelm bench`: a row per model, its figures one per line."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from phonelm.bench.result import BenchResult, Spread

if TYPE_CHECKING:
    from rich.table import Table

MIN_TYPE_SHARE = 0.005
"""Types with less of the weights (norms) are left out."""


def bench_table(results: Sequence[BenchResult]) -> Table:
    """Lay out at least one result; fits into 80 columns."""
    from rich import box
    from rich.table import Table

    first = results[0]
    title = f"{first.repeats} repeats: median, lowest to highest" if first.repeats > 1 else "1 repeat"
    table = Table(
        title=title,
        title_justify="left",
        box=box.SIMPLE_HEAD,
        show_lines=True,
        show_edge=False,
        pad_edge=False,
    )
    table.add_column("model", overflow="fold")
    for name in (
        f"prefill of {first.prompt_tokens}\ntokens/s",
        f"decode of {first.generated_tokens}\ntokens/s",
        "first\ntoken ms",
        "memory\nMB",
    ):
        table.add_column(name, justify="right", no_wrap=True)
    for result in results:
        table.add_row(
            "\n".join(_model(result)),
            _speed(result.prefill_tok_s, result.prefill_peak_share, "int8 peak"),
            _speed(result.decode_tok_s, result.decode_bandwidth_share, "bandwidth"),
            f"{result.first_token_s.median * 1e3:,.0f}\nload {result.load_s * 1e3:,.0f}",
            "\n".join(_memory(result)),
        )
    return table


def layers_table(results: Sequence[BenchResult]) -> Table:
    """Lay out the dead neurons of each layer, a column per model; results without them are left out."""
    from rich import box
    from rich.table import Table

    sparse = [result for result in results if result.live_fractions]
    table = Table(title="dead neurons", title_justify="left", box=box.SIMPLE_HEAD, show_edge=False)
    table.add_column("layer", justify="right")
    for result in sparse:
        table.add_column(result.model, justify="right", overflow="fold")
    for layer in range(max(len(result.live_fractions) for result in sparse)):
        shares = (result.live_fractions[layer : layer + 1] for result in sparse)
        table.add_row(str(layer), *(f"{1 - live[0]:.1%}" if live else "" for live in shares))
    return table


def _model(result: BenchResult) -> Iterator[str]:
    yield result.model
    yield f"{result.isa}, {_threads(result)}"
    total = sum(result.weight_types.values())
    shares = {name: size / total for name, size in result.weight_types.items()}
    yield ", ".join(f"{name} {share:.0%}" for name, share in shares.items() if share >= MIN_TYPE_SHARE)
    yield f"output {result.output_sha256[:8]}"
    if result.live_fractions:
        dead = [1 - live for live in result.live_fractions]
        yield f"dead {statistics.mean(dead):.0%}, {min(dead):.0%} to {max(dead):.0%}"


def _threads(result: BenchResult) -> str:
    words = "1 thread" if result.prefill_threads == 1 else f"{result.prefill_threads} threads"
    alike = result.prefill_threads == result.decode_threads
    return words if alike else f"{words}, decode {result.decode_threads}"


def _speed(spread: Spread, share: float, of_what: str) -> str:
    return f"{spread.median:,.1f}\n{spread.low:,.0f} to {spread.high:,.0f}\n{share:.0%} {of_what}"


def _memory(result: BenchResult) -> Iterator[str]:
    parts = {
        "peak": result.peak_rss_bytes,
        "weights": result.weight_bytes,
        f"KV {result.kv_type}": result.kv_bytes,
        "buffers": result.buffer_bytes,
        "base": result.base_bytes,
    }
    yield from (f"{name} {size / 1e6:,.0f}" for name, size in parts.items())
