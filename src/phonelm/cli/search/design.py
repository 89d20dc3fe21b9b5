"""`phonelm search` without a subcommand: the shape that is fastest on a device within a budget."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from phonelm.cli.search.source import Source
from phonelm.cli.streams import print_json

if TYPE_CHECKING:
    from phonelm.devices import Device
    from phonelm.profile import DeviceProfile
    from phonelm.progress import Progress
    from phonelm.search import Design, SearchConfig


def search(
    call: typer.Context,
    params: Annotated[str | None, typer.Option(help="Total parameters: 4.7M, 100M, 0.5B.")] = None,
    vocab: Annotated[
        int | None, typer.Option(help="Size of the vocabulary, in place of the space's.")
    ] = None,
    context: Annotated[int, typer.Option(help="Context length.")] = 512,
    prompt: Annotated[int, typer.Option(help="Tokens of the prompt that is priced.")] = 256,
    output: Annotated[int, typer.Option(help="Tokens of the answer that is priced.")] = 64,
    max_decode_ms: Annotated[float | None, typer.Option(help="At most this long for a token.")] = None,
    max_prefill_ms: Annotated[float | None, typer.Option(help="At most this long for the prompt.")] = None,
    max_memory_mb: Annotated[
        float | None, typer.Option(help="At most these MiB of weights and cache.")
    ] = None,
    max_loss_percent: Annotated[
        float | None, typer.Option(help="Predicted loss above the best conventional shape's.")
    ] = None,
    prefer: Annotated[
        str | None, typer.Option(help="Where on the front: balance, speed, quality or memory.")
    ] = None,
    keep: Annotated[
        list[str] | None, typer.Option(help="A dimension at one value, as layers=24; repeatable.")
    ] = None,
    space: Annotated[Path | None, typer.Option(help="The space of shapes (YAML).")] = None,
    predictor: Annotated[
        Path | None,
        typer.Option(help="A predictor.json of search fit-quality, in place of the shipped one."),
    ] = None,
    device: Annotated[
        list[str] | None,
        typer.Option(
            help="A profile (device.json; one a pair of types), or a device to measure: adb, adb:SERIAL, "
            "ssh:HOST. This machine without it."
        ),
    ] = None,
    program: Annotated[
        Path | None, typer.Option(help="Static phonelm-cli for a device behind adb or ssh.")
    ] = None,
    verify: Annotated[
        int,
        typer.Option(
            min=0, help="Measure this many shapes and the published ones as whole models (10 to 60 s each)."
        ),
    ] = 16,
    no_verify: Annotated[bool, typer.Option("--no-verify", help="Measure none.")] = False,
    out: Annotated[
        Path, typer.Option("--out", "-o", help="The design; its page is written beside it, as .html.")
    ] = Path("design.json"),
    json_: Annotated[bool, typer.Option("--json", help="Print the whole design as JSON.")] = False,
) -> None:
    """Price every shape under a budget, choose one of the fastest, and measure whole models to prove it.

    \b
    Example:
      phonelm search --params 100M --keep vocab=49152 --max-memory-mb 80
    """
    if call.invoked_subcommand:
        return
    if params is None:
        call.fail("Missing option '--params'")
    settings: dict[str, Any] = {
        "params": params,
        "vocab_size": vocab,
        "context_length": context,
        "prompt_tokens": prompt,
        "output_tokens": output,
        "max_decode_ms": max_decode_ms,
        "max_prefill_ms": max_prefill_ms,
        "max_memory_mb": max_memory_mb,
        "max_loss_percent": max_loss_percent,
        "prefer": prefer,
        "space": str(space) if space else None,
        "predictor": str(predictor) if predictor else None,
        "keep": _kept(keep or []),
    }
    config = _config({name: value for name, value in settings.items() if value is not None})
    source = Source(device or ["local"], program)
    _run(config, source, 0 if no_verify else verify, out, json_)


def _config(settings: dict[str, Any]) -> SearchConfig:
    from pydantic import ValidationError

    from phonelm.search import SearchConfig
    from phonelm.validation import explain

    try:
        return SearchConfig.model_validate(settings)
    except ValidationError as error:
        raise ValueError(explain("search", SearchConfig, error)) from error


def _kept(assignments: list[str]) -> dict[str, str]:
    """`NAME=VALUE` several times as a mapping."""
    pairs = [text.partition("=") for text in assignments]
    for text, (name, _, value) in zip(assignments, pairs, strict=True):
        if not name or not value:
            raise ValueError(f"--keep {text}: write NAME=VALUE, as --keep layers=24")
    if len({name for name, _, _ in pairs}) < len(pairs):
        raise ValueError("--keep names a dimension twice; keep one value of it")
    return {name.strip(): value for name, _, value in pairs}


def _run(config: SearchConfig, source: Source, num_models: int, out: Path, json_: bool) -> None:
    from phonelm.cli.search.show import page_beside, print_design
    from phonelm.files import is_stream
    from phonelm.preconditions import require_writable
    from phonelm.progress import TerminalProgress
    from phonelm.search import search as run
    from phonelm.search.quality import Predictor

    if out.suffix == ".html":
        raise ValueError(f"--out {out} is the page's name; name the design, as design.json")
    require_writable(out)
    if config.predictor:
        Predictor.load(config.predictor)
    progress = TerminalProgress()
    page = page_beside(out, progress)
    with source.opened() as connected:
        profiles = source.profiles(connected, config, progress)
        design = run(config, profiles, progress)
        if num_models:
            if not is_stream(out):
                # Measuring takes minutes: whoever stops it has what was priced.
                _write(design, out, page, progress)
            design = _verified(design, profiles, num_models, connected, progress)
    _write(design, out, page, progress)
    print_json(design.model_dump_json()) if json_ else print_design(design)


def _write(design: Design, out: Path, page: Path | None, progress: Progress) -> None:
    from phonelm.report import write_design_page

    design.save(out)
    if page:
        write_design_page(design, page)
    progress.line(f"  written: {out}{f', {page}' if page else ''}")


def _verified(
    design: Design,
    profiles: list[DeviceProfile],
    num_models: int,
    connected: Device | None,
    progress: Progress,
) -> Design:
    """Measured as whole models; a profile from a file may be of another machine, and then it is said."""
    from phonelm.search import check_machine, verify

    if connected is None:
        try:
            for profile in profiles:
                check_machine(profile)
        except ValueError as error:
            progress.line(f"  not verified: {error}")
            return design.model_copy(update={"verification_note": f"Not measured as whole models: {error}."})
    return verify(design, profiles, num_models, device=connected, progress=progress)
