"""Completion in shells: typer's scripts, and what they ask this command for."""

from __future__ import annotations

import importlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import typer

SHELLS = ("bash", "zsh", "fish", "powershell", "pwsh")
OPTIONS = ("--install-completion", "--show-completion")
_ASKS = "_PHONELM_COMPLETE"


def prepare() -> None:
    """Make the shells' questions understood, where this process was started to answer one."""
    if _ASKS in os.environ:
        _typers("completion_init")()


def with_shell(words: Sequence[str]) -> list[str]:
    """Return a command line whose completion options name a shell; where none is named, it is the user's."""
    if not words or words[0] not in OPTIONS or (len(words) > 1 and not words[1].startswith("-")):
        return list(words)
    return [words[0], _own_shell(), *words[1:]]


def show(context: typer.Context, shell: str | None) -> None:
    """Print the script that turns completion on in a shell."""
    if shell and not context.resilient_parsing:
        script = _typers("get_completion_script")
        print(script(prog_name="phonelm", complete_var=_ASKS, shell=_known(shell)))
        raise typer.Exit


def install(context: typer.Context, shell: str | None) -> None:
    """Write the script to where the shell looks for it."""
    if shell and not context.resilient_parsing:
        name, path = _typers("install")(shell=_known(shell), prog_name="phonelm", complete_var=_ASKS)
        print(f"completion for {name} is in {path}; it begins with the next shell")
        raise typer.Exit


def model_names(incomplete: str) -> list[str]:
    """Return the known models whose names begin so."""
    from phonelm.engine import store

    return [name for name in store.KNOWN if name.startswith(incomplete.lower())]


def _typers(name: str) -> Any:
    """A function of typer's; imported late, since every command would wait for it."""
    return getattr(importlib.import_module("typer.completion"), name)


def _known(shell: str) -> str:
    if shell not in SHELLS:
        raise typer.BadParameter(f"the shell '{shell}' is not one of: {', '.join(SHELLS)}")
    return shell


def _own_shell() -> str:
    """The shell that runs this command, else the user's; empty where neither is known."""
    detected: Any = None
    try:
        import shellingham

        detected, _ = shellingham.detect_shell()
    except (ImportError, RuntimeError):  # not installed, or no shell among the parents
        pass
    return detected or Path(os.environ.get("SHELL", "")).name or "unknown"
