"""`phonelm search`: the shape that is fastest on a device within a budget."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from phonelm.search import Design


def search(
    params: Annotated[str, typer.Option(help="Total parameters: 4.7M, 100M, 0.5B.")],
    vocab: Annotated[int, typer.Option(help="Size of the vocabulary.")] = 4096,
    context: Annotated[int, typer.Option(help="Context length.")] = 512,
    prompt: Annotated[int, typer.Option(help="Tokens of the prompt that is priced.")] = 128,
    output: Annotated[int, typer.Option(help="Tokens of the answer that is priced.")] = 128,
    max_decode_ms: Annotated[float | None, typer.Option(help="At most this long for a token.")] = None,
    max_prefill_ms: Annotated[float | None, typer.Option(help="At most this long for the prompt.")] = None,
    max_memory_mb: Annotated[
        float | None, typer.Option(help="At most these MiB of weights and cache.")
    ] = None,
    device: Annotated[
        Path | None, typer.Option(help="A profile (device.json); this machine is measured if not given.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Also write the design here (design.json).")
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print the whole design as JSON.")] = False,
) -> None:
    """Price every shape under a budget and choose the one that answers fastest.

    \b
    Example:
      phonelm search --params 100M --vocab 49152 --max-memory-mb 80
    """
    from pydantic import ValidationError

    from phonelm.pipeline.errors import explain
    from phonelm.profile import DeviceProfile, ProfileConfig, profile_device
    from phonelm.progress import TerminalProgress
    from phonelm.search import SearchConfig
    from phonelm.search import search as run

    settings: dict[str, Any] = {
        "params": params,
        "vocab_size": vocab,
        "context_length": context,
        "prompt_tokens": prompt,
        "output_tokens": output,
        "max_decode_ms": max_decode_ms,
        "max_prefill_ms": max_prefill_ms,
        "max_memory_mb": max_memory_mb,
    }
    try:
        config = SearchConfig.model_validate(settings)
    except ValidationError as error:
        raise ValueError(explain("search", SearchConfig, error)) from error
    progress = TerminalProgress()
    if device:
        profile = DeviceProfile.load(device)
    else:
        profile = profile_device(ProfileConfig(footprint_mb=config.footprint_mb), progress=progress)
    design = run(config, profile, progress)
    if out:
        design.save(out)
    print(design.model_dump_json()) if json_ else _print_design(design)


def _print_design(design: Design) -> None:
    from rich.console import Console
    from rich.table import Table

    candidates = [("chosen", design.chosen)]
    if design.conventional:
        candidates.append(("deep and thin", design.conventional))
    console = Console(highlight=False)
    table = Table("")
    for name in ("parameters", "non-embedding", "decode\ntokens/s", "prefill\ntokens/s", "memory\nMiB"):
        table.add_column(name, justify="right")
    for label, candidate in candidates:
        console.print(f"{label}: {candidate.name}", soft_wrap=True)
        table.add_row(
            label,
            f"{candidate.num_parameters / 1e6:.2f}M",
            f"{candidate.non_embedding / 1e6:.2f}M",
            f"{candidate.decode_tok_s:,.0f}",
            f"{candidate.prefill_tok_s:,.0f}",
            f"{candidate.memory_mb:.1f}",
        )
    console.print(table)
    console.print(design.reason, soft_wrap=True)
    console.print(design.quality_note, style="dim", soft_wrap=True)
