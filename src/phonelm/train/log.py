"""The record of a run: JSON lines in a file, and a line a person reads."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from phonelm.files import write_text
from phonelm.progress import Progress

LOG_FILE = "train.jsonl"


class RunLog:
    """Appends to `train.jsonl`; on a resume it forgets what was written after the step resumed from."""

    def __init__(self, folder: Path, resumed_step: int, progress: Progress) -> None:
        self.path = folder / LOG_FILE
        self.progress = progress
        kept = [line for line in read_log(folder) if line["step"] <= resumed_step] if resumed_step else []
        write_text(self.path, "".join(json.dumps(line) + "\n" for line in kept))

    def write(self, kind: str, step: int, **values: Any) -> None:
        """Append one line of a kind (`train`, `valid`, `sample`)."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"kind": kind, "step": step, **values}, ensure_ascii=False) + "\n")

    def steps(
        self,
        first: int,
        last: int,
        total: int,
        loss: float,
        norm: float,
        rate: float,
        tokens_per_s: float,
        step_tokens: int,
    ) -> None:
        """Report the range of steps `first..last` (from 1).

        Mean loss in nats, norm of the gradient, learning rate, speed.
        """
        tokens = last * step_tokens
        self.write(
            "train",
            last,
            first_step=first,
            loss=loss,
            gradient_norm=None if math.isnan(norm) else norm,
            learning_rate=rate,
            tokens=tokens,
            tokens_per_s=tokens_per_s,
        )
        minutes, seconds = divmod(math.ceil((total * step_tokens - tokens) / tokens_per_s), 60)
        span = f"{first}-{last}" if first < last else f"{last}"
        self.progress.line(
            f"step {span} of {total}  loss {loss:.3f}  gradient {norm:.2f}  lr {rate:.2e}  "
            f"{tokens_per_s:,.0f} tokens/s  {minutes}:{seconds:02d} left"
        )

    def validation(self, step: int, loss: float, bits_per_byte: float) -> None:
        """Report a validation: loss in nats per token and bits per byte."""
        self.write("valid", step, loss=loss, bits_per_byte=bits_per_byte)
        self.progress.line(f"step {step}  validation {bits_per_byte:.3f} bits per byte")

    def sample(self, step: int, prompt: str, text: str) -> None:
        """Report how the model continues a prompt."""
        self.write("sample", step, prompt=prompt, text=text)
        self.progress.line(f"step {step}  sample: {prompt}{text}".replace("\n", "⏎ "))


def read_log(folder: Path) -> list[dict[str, Any]]:
    """The lines of a run's `train.jsonl`; a last line cut off by a kill is dropped."""
    path = folder / LOG_FILE
    lines = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        try:
            lines.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return lines
