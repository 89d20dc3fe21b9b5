"""`phonelm pull`: fetch a known model."""

from __future__ import annotations

import json
from typing import Annotated

import typer


def pull(
    name: Annotated[str, typer.Argument(help="Known name; see: phonelm models")],
    json_: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Fetch a known model into the cache folder.

    Its hash is checked, whatever source it comes from; a model that is there is not fetched again.

    \b
    Example:
      phonelm pull smollm2-135m-instruct
    """
    from phonelm.engine import store
    from phonelm.progress import TerminalProgress

    path = store.pull(name, TerminalProgress())
    if json_:
        print(json.dumps({"name": name.lower(), "path": str(path), "size_bytes": path.stat().st_size}))
    else:
        print(path)
