"""`phonelm profile`: what a device can do."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from phonelm.cli.streams import print_json

if TYPE_CHECKING:
    from phonelm.profile import DeviceProfile


def profile(
    device: Annotated[
        str,
        typer.Option(
            help="local, adb (the only phone), adb:SERIAL or ssh:HOST; the last three need no Python."
        ),
    ] = "local",
    program: Annotated[
        Path | None,
        typer.Option(help="Static phonelm-cli for the device, if not that of PHONELM_CLI or `make arm`."),
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Half a minute with coarse grids instead of under three.")
    ] = False,
    threads: Annotated[
        int | None, typer.Option(min=1, max=256, help="Threads of the operators; one per core if not given.")
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Measure even if a profile is kept.")] = False,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Also write the profile here (device.json).")
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print the whole profile as JSON.")] = False,
) -> None:
    """Measure a device: instruction sets, read bandwidth, and the cost of every operator of the runtime.

    \b
    Example:
      phonelm profile --out device.json
      phonelm profile --device adb --out phone.json
    """
    from phonelm.devices import open_device
    from phonelm.preconditions import require_writable
    from phonelm.profile import ProfileConfig, profile_device
    from phonelm.progress import TerminalProgress

    if out:
        require_writable(out)
    config = ProfileConfig(quick=quick, num_threads=threads)
    with open_device(device, program) as connected:
        measured = profile_device(config, device=connected, progress=TerminalProgress(), fresh=fresh)
    if out:
        measured.save(out)
    if json_:
        print_json(measured.model_dump_json())
    else:
        _print_tables(measured)


def _print_tables(profile: DeviceProfile) -> None:
    from phonelm.cli.tables import output_console, print_table
    from phonelm.profile.table import machine_lines, profile_tables

    console = output_console()
    for line in machine_lines(profile):
        console.print(line, soft_wrap=True)
    for table in profile_tables(profile):
        print_table(console, table)
