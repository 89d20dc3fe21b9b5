"""`phonelm search`: the fastest shape within a budget; what feeds the search are its subcommands."""

from __future__ import annotations

import importlib

import typer

from phonelm.cli.errors import guarded

SUBVERBS = ("fit_quality",)
"""Modules beside this package, each with a function of its name: `fit_quality` is `search fit-quality`."""


def make_group() -> typer.Typer:
    """Return `search` as a command (its callback) with the group of its subcommands."""
    from phonelm.cli.search.design import search

    group = typer.Typer(add_completion=False, rich_markup_mode=None, subcommand_metavar="[COMMAND]")
    group.callback(invoke_without_command=True)(guarded(search))
    for verb in SUBVERBS:
        module = importlib.import_module(f"phonelm.cli.{verb}")
        group.command(verb.replace("_", "-"))(guarded(getattr(module, verb)))
    return group
