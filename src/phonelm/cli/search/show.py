"""A design in the terminal, and its page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

    from phonelm.arch import DecoderConfig
    from phonelm.progress import Progress
    from phonelm.search import Design, Verification


def write_page(design: Design, path: Path, progress: Progress) -> Path | None:
    """Write `design.html`; a line says so where the library that draws its figures is not installed."""
    from phonelm.report import write_design_page

    try:
        return write_design_page(design, path)
    except ModuleNotFoundError as error:
        if error.name != "matplotlib":
            raise
        progress.line(f'  no {path}: its pictures need matplotlib; run: pip install "phonelm[train]"')
        return None


def print_design(design: Design) -> None:
    """The choice beside the conventional shapes, why, and predicted beside measured."""
    from rich.console import Console
    from rich.table import Table

    candidates = [("chosen", design.chosen), *((one.name, one.candidate) for one in design.conventional)]
    console = Console(highlight=False)
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
    console.print(table)
    console.print(design.reason, soft_wrap=True)
    if design.verification:
        _print_verification(console, design.verification)
    else:
        console.print(design.verification_note, soft_wrap=True)
    console.print(design.quality_note, style="dim", soft_wrap=True)


def _print_verification(console: Console, found: Verification) -> None:
    from rich.table import Table

    table = Table("whole model", "layers × width, heads, FFN")
    for phase in ("decode", "prefill"):
        table.add_column(f"{phase} ms, predicted\nand measured", justify="right")
    for row in found.rows:
        table.add_row(
            row.role,
            _short(row.config),
            _pair(row.predicted_decode_ms, row.measured_decode_ms),
            _pair(row.predicted_prefill_ms, row.measured_prefill_ms),
        )
    console.print(table)
    for name, agreement in (("decode", found.decode), ("prefill", found.prefill)):
        rank = agreement.rank_correlation
        order = "" if rank is None else f", rank correlation {rank:.3f}"
        console.print(
            f"{name}: median error {agreement.median_error:.1%}, worst {agreement.worst_error:.1%}{order}"
        )


def _short(config: DecoderConfig) -> str:
    mixer, ffn = config.layers[0].mixer, config.layers[0].ffn
    heads = f"{mixer.num_heads}/{mixer.num_kv_heads}×{mixer.head_dim}"
    width = f"{ffn.activation} {ffn.intermediate_size}"
    return f"{config.num_layers}×{config.hidden_size} {heads} {width}"


def _pair(predicted: float, measured: float) -> str:
    return f"{predicted:.3g}  {measured:.3g}  {predicted / measured - 1:+.0%}"
