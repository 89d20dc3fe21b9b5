"""`phonelm models`: what is known and what is here."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from phonelm.cli.streams import print_json

if TYPE_CHECKING:
    from phonelm.engine.hub.kept import KeptModel
    from phonelm.engine.store import KnownModel


def models(
    json_: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """List the models known by name, and those that are here.

    \b
    Example:
      phonelm models
    """
    from phonelm.engine import store
    from phonelm.engine.hub.kept import kept_models
    from phonelm.engine.hub.leftovers import leftovers

    rows = [_known_row(model) for model in store.KNOWN.values()] + [
        _hub_row(model) for model in kept_models()
    ]
    left_bytes = sum(found.size_bytes for found in leftovers())
    if json_:
        print_json(json.dumps({"models": rows, "leftover_bytes": left_bytes}, ensure_ascii=False))
        return
    print("\n".join(_table(rows)))
    if left_bytes:
        from phonelm.words import sized

        print(f"{sized(left_bytes)} of stopped pulls lie there too; the same pull goes on from them, and")
        print("phonelm rm --leftovers removes them")


def _known_row(model: KnownModel) -> dict[str, Any]:
    from phonelm.engine import store

    path = store.local_path(model)
    return {
        "name": model.name,
        "about": model.about,
        "type": model.weight_type,
        "licence": model.licence,
        "size_bytes": model.size_bytes,
        "path": str(path) if path else None,
    }


def _hub_row(model: KeptModel) -> dict[str, Any]:
    from phonelm.engine.hub.listing import weight_type

    return {
        "name": model.name,
        "about": f"of the hub, commit {model.record.commit[:12]}",
        "type": weight_type(model.path),
        "licence": model.record.licence or _own_licence(model),
        "size_bytes": model.size_bytes,
        "path": str(model.files[0]),
    }


def _own_licence(model: KeptModel) -> str | None:
    """What the file itself says, where the repository says nothing."""
    from phonelm.formats.gguf_header import read_header
    from phonelm.words import printable

    try:
        licence = read_header(model.files[0]).metadata.get("general.license")
    except (OSError, ValueError):
        return None
    return printable(licence, 60) if isinstance(licence, str) else None


def _table(rows: list[dict[str, Any]]) -> list[str]:
    from phonelm.words import printable, sized

    heads = ("name", "size", "type", "licence", "where")
    cells = [
        (
            row["name"],
            sized(row["size_bytes"]),
            row["type"] or "-",
            printable(row["licence"] or "-"),
            row["path"] or "not here; run: phonelm pull " + row["name"],
        )
        for row in rows
    ]
    widths = [max(len(line[at]) for line in [heads, *cells]) for at in range(4)]
    return [
        "  ".join([*(cell.ljust(width) for cell, width in zip(line, widths, strict=False)), line[4]])
        for line in [heads, *cells]
    ]
