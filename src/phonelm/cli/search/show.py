"""A design in the terminal, and its page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

    from phonelm.arch import DecoderConfig
    from phonelm.progress import Progress
    from phonelm.search import Design, Verification


def page_beside(out: Path, progress: Progress) -> Path | None:
    """Where a design's page is written: nowhere beside a stream, or without the library that draws it."""
    from phonelm.files import is_stream
    from phonelm.preconditions import PICTURES, require_packages

    if is_stream(out):
        return None
    page = out.with_suffix(".html")
    try:
        require_packages(*PICTURES)
    except ModuleNotFoundError:
        progress.line(f'  there will be no {page}: it needs matplotlib; run: pip install "phonelm[report]"')
        return None
    return page


def print_design(design: Design) -> None:
    """The choice beside the conventional shapes, why, and predicted beside measured."""
    from rich.table import Table

    from phonelm.cli.tables import output_console, print_table

    candidates = [("chosen", design.chosen), *((one.name, one.candidate) for one in design.conventional)]
    console = output_console()
    table = Table("")
    columns = ("parameters", "non-\nembedding", "predicted\nloss", "decode\ntokens/s", "prefill\ntokens/s")
    for name in (*columns, "memory\nMiB"):
        table.add_column(name, justify="right")
    for label, candidate in candidates:
        console.print(f"{label}: {candidate.name}", soft_wrap=True)
        table.add_row(
            label,
            f"{candidate.num_parameters / 1e6:.2f}M",
            f"{candidate.non_embedding / 1e6:.2f}M",
            f"{candidate.loss_percent:+.2f} %",
            f"{candidate.decode_tok_s:,.0f}",
            f"{candidate.prefill_tok_s:,.0f}",
            f"{candidate.memory_mb:.1f}",
        )
    print_table(console, table)
    console.print(f"{design.reason} {design.comparison}".rstrip(), soft_wrap=True)
    if design.verification:
        _print_verification(console, design.verification)
    else:
        console.print(design.verification_note, soft_wrap=True)
    console.print(design.quality_note, style="dim", soft_wrap=True)


def _print_verification(console: Console, found: Verification) -> None:
    from rich.table import Table

    from phonelm.cli.tables import print_table

    table = Table("whole model", "layers × width, heads, FFN")
    table.add_column("predicted\nloss", justify="right")
    for phase in ("decode", "prefill"):
        table.add_column(f"{phase} ms, predicted\nand measured", justify="right")
    for row in found.rows:
        table.add_row(
            row.role,
            _short(row.config),
            "" if row.loss_percent is None else f"{row.loss_percent:+.2f} %",
            _pair(row.predicted_decode_ms, row.measured_decode_ms),
            _pair(row.predicted_prefill_ms, row.measured_prefill_ms),
        )
    print_table(console, table)
    for name, agreement in (("decode", found.decode), ("prefill", found.prefill)):
        rank = agreement.rank_correlation
        order = "" if rank is None else f", rank correlation {rank:.3f}"
        console.print(
            f"{name}: median error {agreement.median_error:.1%}, worst {agreement.worst_error:.1%}{order}"
        )
    if found.warning:
        console.print(found.warning, soft_wrap=True)


def _short(config: DecoderConfig) -> str:
    mixer, ffn = config.layers[0].mixer, config.layers[0].ffn
    heads = f"{mixer.num_heads}/{mixer.num_kv_heads}×{mixer.head_dim}"
    width = f"{ffn.activation} {ffn.intermediate_size}"
    return f"{config.num_layers}×{config.hidden_size} {heads} {width}"


def _pair(predicted: float, measured: float) -> str:
    return f"{predicted:.3g}  {measured:.3g}  {predicted / measured - 1:+.0%}"
