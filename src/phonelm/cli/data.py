"""`phonelm data`: from a corpus to a folder of tokens."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from phonelm.cli.streams import print_json


def data(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder to make.")],
    source: Annotated[
        list[str] | None,
        typer.Option(
            help="Folder, file (.txt .md .py .jsonl .jsonl.xz .jsonl.zst .jsonl.gz .parquet) or hf:NAME; "
            "may be given again. Python's standard library if not given.",
            metavar="SOURCE",
        ),
    ] = None,
    vocab: Annotated[int, typer.Option(help="Size of the vocabulary.")] = 4096,
    valid_fraction: Annotated[float, typer.Option(help="Share of the documents that is held out.")] = 0.02,
    max_bytes: Annotated[int | None, typer.Option(help="Stop after this much text.")] = None,
    seed: Annotated[int, typer.Option(help="Of the split and of the order of training.")] = 0,
    json_: Annotated[bool, typer.Option("--json", help="Print one JSON document at the end.")] = False,
) -> None:
    """Train a tokenizer on text and write the text as tokens; a folder that is up to date is left alone.

    \b
    Example:
      phonelm data --source notes/ --source more.jsonl.xz --vocab 8192 --out data/
    """
    from phonelm.data import DataConfig, prepare
    from phonelm.data.config import STDLIB
    from phonelm.data.sources import require_sources
    from phonelm.preconditions import require_writable
    from phonelm.progress import TerminalProgress

    config = DataConfig(
        source=tuple(source) if source else STDLIB,
        vocab_size=vocab,
        valid_fraction=valid_fraction,
        max_bytes=max_bytes,
        seed=seed,
    )
    require_sources(config.sources)
    require_writable(out)
    manifest = prepare(config, out, TerminalProgress())
    print_json(manifest.model_dump_json()) if json_ else print(f"{out}: {manifest.summary}")
