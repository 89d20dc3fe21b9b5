"""phonelm-cli on this machine and on emulated ones."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CPUS = ["cortex-a53", "cortex-a76", "max"]
"""Without dot products (most cheap phones), with them, with all that the emulator knows."""
SECONDS = 300


@dataclass(frozen=True)
class Program:
    """A phonelm-cli, with the words that start it."""

    words: tuple[str, ...]

    def run(self, *arguments: object) -> str:
        command = [*self.words, *map(str, arguments)]
        run = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS)
        assert run.returncode == 0, f"{' '.join(command)}: {run.returncode} {run.stderr}"
        return run.stdout

    def machine(self) -> dict[str, Any]:
        machine: dict[str, Any] = json.loads(self.run("machine"))
        return machine

    def greedy(self, model: Path, prompt: str, max_tokens: int, isa: str, *options: object) -> list[int]:
        """Tokens of one thread, whose sums do not depend on the number of cores."""
        wanted = ["--prompt", prompt, "--max-tokens", max_tokens, "--temperature", 0, "--isa", isa]
        document = json.loads(self.run("generate", model, *wanted, "--threads", 1, "--json", *options))
        tokens: list[int] = document["tokens"]
        return tokens
