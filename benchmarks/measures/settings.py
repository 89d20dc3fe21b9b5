"""How much is measured."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Settings:
    """Tokens of a prompt and of an answer, rounds, and the cores of this machine."""

    prompt: int
    generate: int
    rounds: int
    num_cores: int
