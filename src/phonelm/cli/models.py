"""`phonelm models`: what is known and what is here."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer


def models(
    json_: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """List the models known by name, and those that are here.

    \b
    Example:
      phonelm models
    """
    from phonelm.engine import store

    rows = [_row(model, store.local_path(model)) for model in store.KNOWN.values()]
    if json_:
        print(json.dumps({"models": rows}))
        return
    for row in rows:
        place = row["path"] or f"not here; run: phonelm pull {row['name']}"
        print(f"{row['name']}  {row['size_bytes'] / 1e6:.0f} MB  {row['about']}\n  {place}")


def _row(model: Any, path: Any) -> dict[str, Any]:
    return {
        "name": model.name,
        "about": model.about,
        "size_bytes": model.size_bytes,
        "path": str(path) if path else None,
    }
