"""`phonelm profile`: what this machine can do."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from phonelm.profile import DeviceProfile


def profile(
    quick: Annotated[
        bool, typer.Option("--quick/--full", help="Half a minute, or two with finer grids.")
    ] = True,
    footprint_mb: Annotated[
        float | None, typer.Option(help="Weight MiB of the models to come (how cold the caches are).")
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Measure even if a profile is kept.")] = False,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Also write the profile here (device.json).")
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print the whole profile as JSON.")] = False,
) -> None:
    """Measure this machine: instruction sets, read bandwidth, and the cost of every operator of the runtime.

    \b
    Example:
      phonelm profile --quick --out device.json
    """
    from phonelm.profile import ProfileConfig, profile_device
    from phonelm.progress import TerminalProgress

    config = ProfileConfig(quick=quick, footprint_mb=footprint_mb)
    measured = profile_device(config, progress=TerminalProgress(), fresh=fresh)
    if out:
        measured.save(out)
    if json_:
        print(measured.model_dump_json())
    else:
        _print_tables(measured)


def _print_tables(profile: DeviceProfile) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    caches = ", ".join(f"{name} {size // 1024:,} KiB" for name, size in profile.machine.caches_bytes.items())
    console.print(
        f"{profile.machine.model} · {profile.machine.system} · {profile.machine.num_cores} cores · {caches}"
    )
    console.print(f"instruction sets {', '.join(profile.machine.isas)}; measured {profile.isa}")
    limits = Table("threads", title="limits", title_justify="left")
    counts = sorted({b.num_threads for b in profile.bandwidth})
    for count in counts:
        limits.add_column(str(count), justify="right")
    for size in sorted({b.buffer_bytes for b in profile.bandwidth}):
        row = [b.bytes_per_s for b in profile.bandwidth if b.buffer_bytes == size]
        limits.add_row(f"read {size >> 20} MiB", *(f"{rate / 1e9:.1f} GB/s" for rate in row))
    limits.add_row("int8", *(f"{profile.int8_ops_per_s[n] / 1e12:.2f} TOPS" for n in counts))
    console.print(limits)
    for phase in (profile.decode, profile.prefill):
        console.print(_matmul_table(phase.num_tokens, profile))
    console.print(f"repeats lie {profile.spread:.1%} apart (median)")


def _matmul_table(num_tokens: int, profile: DeviceProfile) -> object:
    """Microseconds of the block matrices over the grid."""
    from rich.table import Table

    costs = profile.decode if num_tokens == 1 else profile.prefill
    title = f"{profile.block_type} matrix × {num_tokens} token(s), µs"
    table = Table("rows \\ cols", title=title, title_justify="left")
    axes = costs.matmul_block.axes
    for cols in axes["cols"]:
        table.add_column(str(cols), justify="right")
    for rows in axes["rows"]:
        seconds = costs.matmul_block.at(rows=rows, cols=axes["cols"])
        table.add_row(str(rows), *(f"{1e6 * second:.3g}" for second in seconds))
    return table
