"""What a killed run needs to resume exactly: one file, written atomically."""

from __future__ import annotations

import math
import pickle
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import torch
from torch import nn

from phonelm.files import atomic_path
from phonelm.train.adapters import load_trained_state, trained_state

STATE_FILE = "trainer_state.pt"


@dataclass
class Counters:
    """Where a run is and what it has measured since its last line of progress."""

    step: int = 0
    """Optimizer steps done."""
    position: int = 0
    """Training windows consumed, counted over all stages on the same data."""
    loss_sum: float = 0.0
    loss_steps: int = 0
    last_loss: float = float("nan")
    """Mean loss of the last complete range of steps."""
    range_steps: int = 0
    """Steps since the last line of progress, those that were left out among them."""
    norm_sum: float = 0.0
    """Of the gradient over the same steps, before it is clipped."""
    skipped: int = 0
    """Steps in a row that were left out."""
    train_s: float = 0.0
    """Seconds spent in training steps."""
    wall_s: float = 0.0
    """Seconds in all, over every start of the run."""

    def advance(self, windows: int, seconds: float) -> None:
        """Count one step on so many windows."""
        self.step += 1
        self.range_steps += 1
        self.position += windows
        self.train_s += seconds

    def learnt(self, loss: float, norm: float) -> None:
        """Count the mean loss of a step and the norm of its gradient."""
        self.loss_sum += loss
        self.norm_sum += norm
        self.loss_steps += 1
        self.skipped = 0

    def close_range(self) -> tuple[float, float]:
        """Mean loss and norm of the gradient since the last call; the last ones where no step was learnt."""
        norm = self.norm_sum / self.loss_steps if self.loss_steps else math.nan
        self.last_loss = self.loss_sum / self.loss_steps if self.loss_steps else self.last_loss
        self.loss_sum, self.norm_sum, self.loss_steps, self.range_steps = 0.0, 0.0, 0, 0
        return self.last_loss, norm


def save_state(
    folder: Path,
    identity: str,
    data: str,
    sequence_length: int,
    counters: Counters,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
) -> None:
    """Write weights, optimizer, counters and random state.

    `data` is the content hash of the data, `sequence_length` that of the windows which the position counts.
    """
    document = {
        "identity": identity,
        "data": data,
        "sequence_length": sequence_length,
        "counters": asdict(counters),
        "model": trained_state(model),
        "optimizer": optimizer.state_dict(),
        "rng": torch.get_rng_state(),
    }
    with atomic_path(folder / STATE_FILE) as temporary:
        torch.save(document, temporary)


def load_state(folder: Path) -> dict[str, Any] | None:
    """Read the state of a folder to the CPU; `None` where there is none; `ValueError` where it is damaged."""
    path = folder / STATE_FILE
    if not path.exists():
        return None
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise ValueError(f"{path} is damaged; delete it to train this stage again") from error
    known = {field.name for field in fields(Counters)}
    if (
        not {"identity", "data", "sequence_length", "model", "optimizer", "rng"} <= state.keys()
        or set(state["counters"]) != known
    ):
        raise ValueError(f"{path} is from another version; delete it to train this stage again")
    return state


def apply_state(state: dict[str, Any], model: nn.Module, optimizer: torch.optim.Optimizer) -> Counters:
    """Put weights, optimizer and random state back; returns the counters.

    Raises `ValueError` when the weights are of another shape.
    """
    try:
        load_trained_state(model, state["model"])
        optimizer.load_state_dict(state["optimizer"])
    except (RuntimeError, ValueError, KeyError) as error:
        raise ValueError(
            "the saved training state is of a model of another shape; train its stage again"
        ) from error
    torch.set_rng_state(state["rng"])
    return Counters(**state["counters"])
