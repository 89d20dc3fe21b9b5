"""`phonelm pull`: fetch a known model, or a GGUF file of the Hugging Face hub."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from phonelm.cli.completion import model_names

if TYPE_CHECKING:
    from phonelm.engine.hub.reference import Reference


def pull(
    name: Annotated[
        str,
        typer.Argument(
            help="Known name (see: phonelm models), or OWNER/REPOSITORY[@REVISION][:FILE|TYPE].",
            autocompletion=model_names,
        ),
    ],
    list_: Annotated[
        bool, typer.Option("--list", help="List the repository's GGUF files with their sizes; fetch nothing.")
    ] = False,
    json_: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Fetch a known model or a GGUF file of the hub into the cache folder.

    Its hash is checked, whatever source it comes from. A model that is there is not fetched again, and a
    fetch that was stopped goes on where it was.

    \b
    Example:
      phonelm pull smollm2-135m-instruct
      phonelm pull bartowski/SmolLM2-360M-Instruct-GGUF --list
      phonelm pull bartowski/SmolLM2-360M-Instruct-GGUF:Q4_0
    """
    from phonelm.engine import store
    from phonelm.engine.hub.reference import parse_reference

    if "/" in name:
        reference = parse_reference(name)
        _list(reference, json_) if list_ else _pull_from_hub(reference, json_)
        return
    if list_:
        raise ValueError("--list is for a repository of the hub; for known models see: phonelm models")
    _print(_pull_known(name, store), json_)


def _pull_known(name: str, store: Any) -> dict[str, Any]:
    from phonelm.progress import TerminalProgress

    path = store.pull(name, TerminalProgress())
    return {"name": name.lower(), "path": str(path), "size_bytes": path.stat().st_size}


def _pull_from_hub(reference: Reference, json_: bool) -> None:
    from phonelm.engine.hub.kept import document_of
    from phonelm.engine.hub.pull import pull_from_hub
    from phonelm.progress import TerminalProgress

    progress = TerminalProgress()
    document = document_of(pull_from_hub(reference, progress))
    progress.line(f"run it with: phonelm generate {document['name']!r}")
    _print(document, json_)


def _print(document: dict[str, Any], json_: bool) -> None:
    print(json.dumps(document) if json_ else document["path"])


def _list(reference: Reference, json_: bool) -> None:
    from phonelm.engine.hub.listing import table, weight_type
    from phonelm.engine.hub.pull import list_models

    listing = list_models(reference)
    if not json_:
        print("\n".join(table(listing)))
        return
    models = [
        {"path": model.path, "type": weight_type(model.path), "size_bytes": model.size_bytes}
        for model in listing.models
    ]
    document = {"repository": reference.repo, "commit": listing.commit, "licence": listing.licence}
    print(json.dumps({**document, "models": models, "not_offered": list(listing.skipped)}))
