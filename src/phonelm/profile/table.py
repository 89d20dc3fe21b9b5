"""A profile as tables for a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from phonelm.profile.device import DeviceProfile, PhaseCosts
from phonelm.profile.grid import CostGrid
from phonelm.words import counted

if TYPE_CHECKING:
    from rich.table import Table


def profile_tables(profile: DeviceProfile) -> list[Table]:
    """The machine's limits, and what the operators cost: matrices, attention, and all else."""
    return [
        _limits(profile),
        *(_matrices(phase, profile.block_type) for phase in (profile.decode, profile.prefill)),
        _attention(profile),
        *([_neurons(neurons)] if (neurons := profile.decode.operators.get("neurons_gated")) else []),
        _others(profile),
    ]


def machine_lines(profile: DeviceProfile) -> list[str]:
    """What was measured and how steady it was."""
    machine, state = profile.machine, profile.conditions
    caches = ", ".join(f"{name} {size // 1024:,} KiB" for name, size in machine.caches_bytes.items())
    return [
        " · ".join(
            part
            for part in (machine.model, machine.system, counted(machine.num_cores, "core"), caches)
            if part
        ),
        f"instruction sets {', '.join(machine.isas)}; measured {profile.isa} with "
        f"{counted(profile.num_threads, 'thread')}",
        f"usual state: {state.bytes_per_s / 1e9:.1f} GB/s and {state.ops_per_s / 1e12:.2f} int8 TOPS, in "
        f"{state.usual_share:.0%} of the probes; {steadiness(profile)}",
    ]


def steadiness(profile: DeviceProfile) -> str:
    """How far the repeats of a cell lie apart, as far as there are any."""
    if profile.num_passes < 2:
        return "one pass, spread unknown"
    return (
        f"{profile.num_passes} passes, repeats lie {profile.spread:.0%} apart, drift "
        f"{profile.conditions.drift:+.0%}"
    )


def _table(title: str, first: str, columns: list[Any]) -> Table:
    from rich.table import Table

    table = Table(first, title=title, title_justify="left")
    for column in columns:
        table.add_column(str(column), justify="right")
    return table


def _limits(profile: DeviceProfile) -> Table:
    counts = sorted({b.num_threads for b in profile.bandwidth})
    table = _table("limits", "threads", counts)
    for size in sorted({b.buffer_bytes for b in profile.bandwidth}):
        row = [b.bytes_per_s for b in profile.bandwidth if b.buffer_bytes == size]
        table.add_row(f"read {size >> 20} MiB", *(f"{rate / 1e9:.1f} GB/s" for rate in row))
    table.add_row("int8", *(f"{profile.int8_ops_per_s[n] / 1e12:.2f} TOPS" for n in counts))
    return table


def _matrices(costs: PhaseCosts, block_type: str) -> Table:
    """Microseconds of the projections over the grid, with all weights in memory."""
    grid = costs.of("project")
    rest = {name: points[-1] for name, points in grid.axes.items() if name not in ("rows", "hidden")}
    title = f"norm, queries, keys and values in {block_type} × {counted(costs.num_tokens, 'token')}, µs"
    table = _table(title, "rows \\ width", grid.axes["hidden"])
    for rows in grid.axes["rows"]:
        table.add_row(str(rows), *_microseconds(grid.at(rows=rows, hidden=grid.axes["hidden"], **rest)))
    return table


def _attention(profile: DeviceProfile) -> Table:
    """Microseconds of one layer by positions, for 8 heads of 64."""
    grid = profile.decode.of("attention")
    contexts = grid.axes["context"]
    rest = {name: points[-1] for name, points in grid.axes.items() if name == "footprint_mb"}
    table = _table("attention × 1 token, 8 heads of 64, µs", "KV heads \\ positions", contexts)
    for kv_heads in (2, 8):
        sizes = {"head_dim": 64, "group": 8 // kv_heads, "kv_heads": kv_heads, "context": contexts, **rest}
        table.add_row(str(kv_heads), *_microseconds(grid.at(**sizes)))
    return table


def _neurons(grid: CostGrid) -> Table:
    """Microseconds of one gated FFN by active share."""
    shares = grid.axes["live_percent"]
    table = _table("gated ReLU FFN × 1 token, µs", "width \\ live", [f"{share} %" for share in shares])
    for hidden in (512, 1024, 2048):
        sizes = {"hidden": hidden, "intermediate": 3 * hidden, "footprint_mb": grid.axes["footprint_mb"][-1]}
        table.add_row(str(hidden), *_microseconds(grid.at(live_percent=shares, **sizes)))
    return table


def _others(profile: DeviceProfile) -> Table:
    phases = (profile.decode, profile.prefill)
    table = _table("all else, µs", "", [f"× {counted(phase.num_tokens, 'token')}" for phase in phases])
    table.add_row("beginning of a pass", *_microseconds([p.of("embed").at(hidden=1024) for p in phases]))
    table.add_row("choice among 49152 tokens", *_microseconds([profile.sampling.at(vocab=49152)]))
    table.add_row("barrier", *_microseconds([profile.barrier_s]))
    return table


def _microseconds(seconds: Any) -> list[str]:
    return [f"{us:,.0f}" if us >= 1000 else f"{us:.3g}" for us in (1e6 * float(second) for second in seconds)]
