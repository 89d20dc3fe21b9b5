"""`phonelm rm`: remove models that were pulled."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from phonelm.cli.streams import reads_terminal

if TYPE_CHECKING:
    from phonelm.engine.hub.leftovers import Leftover
    from phonelm.engine.hub.removal import Removal


def rm(
    names: Annotated[
        list[str] | None, typer.Argument(help="Names as phonelm models lists them; a repository: all of it.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    leftovers: Annotated[
        bool, typer.Option("--leftovers", help="Remove what stopped pulls have left, too.")
    ] = False,
    json_: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Remove models that were pulled, and what stopped pulls have left.

    Nothing outside the cache folder is touched, and links are not followed.

    \b
    Example:
      phonelm rm smollm2-135m-instruct
      phonelm rm bartowski/SmolLM2-360M-Instruct-GGUF:Q4_0 --yes
      phonelm rm --leftovers --yes
    """
    from phonelm.engine.hub import leftovers as left
    from phonelm.engine.hub.removal import remove_files

    if not names and not leftovers:
        raise ValueError("name what to remove (see: phonelm models), or give --leftovers")
    removals = _distinct([removal for name in names or () for removal in _removals_of(name)])
    others = left.leftovers() if leftovers else []
    _agree(removals, others, yes)
    freed = sum(map(remove_files, removals)) + sum(map(left.remove, others))
    _tell(removals, others, freed, json_)


def _removals_of(name: str) -> list[Removal]:
    from phonelm.engine import store
    from phonelm.engine.hub.removal import removal_of_known, removals_of_reference

    known = store.find(name)
    if known is None:
        return removals_of_reference(name)
    return [removal_of_known(known.name, store.kept_path(known))]


def _distinct(removals: list[Removal]) -> list[Removal]:
    return list({removal.name: removal for removal in removals}.values())


def _agree(removals: list[Removal], others: list[Leftover], yes: bool) -> None:
    """Raises `ValueError` where nobody can be asked, `typer.Exit` for a no."""
    from phonelm.words import sized

    if yes or not (removals or others):
        return
    if not reads_terminal():
        raise ValueError("nobody can be asked here; give --yes to remove without a question")
    for removal in removals:
        print(f"{removal.name}  {sized(removal.size_bytes)}", file=sys.stderr)
    for other in others:
        print(f"{other.path}  {sized(other.size_bytes)}", file=sys.stderr)
    print("Remove these? [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        print("nothing was removed", file=sys.stderr)
        raise typer.Exit(1)


def _tell(removals: list[Removal], others: list[Leftover], freed: int, json_: bool) -> None:
    from phonelm.words import counted, sized

    if json_:
        document = {
            "removed": [removal.name for removal in removals],
            "leftovers": [str(other.path) for other in others],
            "freed_bytes": freed,
        }
        print(json.dumps(document))
        return
    for removal in removals:
        print(f"removed {removal.name}")
    if others:
        print(f"removed {counted(len(others), 'leftover')}")
    print(f"{sized(freed)} freed" if removals or others else "nothing is left of stopped pulls")
