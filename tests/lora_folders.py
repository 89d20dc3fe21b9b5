"""Random LoRA folders as peft saves them, and random GGUF adapters."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import peft
import torch
from numpy.typing import NDArray

from phonelm.formats import write_gguf

ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")
FFN = ("gate_proj", "up_proj", "down_proj")


def save_adapter(model: Any, folder: Path, seed: int = 1, std: float = 0.05, **settings: Any) -> Any:
    """A random adapter on all linear layers (or `target_modules`); returns peft's model, the base is left."""
    torch.manual_seed(seed)
    config = peft.LoraConfig(**{"r": 8, "lora_alpha": 16, "target_modules": "all-linear", **settings})
    adapted = peft.get_peft_model(copy.deepcopy(model), config).eval()
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "lora_" in name:
                parameter.normal_(0, std)
    # Else peft saves a copy of the base's embedding beside an adapter of the head.
    adapted.save_pretrained(folder, save_embedding_layers=False)
    return adapted


def write_adapter(
    path: Path, pairs: dict[str, tuple[Any, Any]], arch: str = "llama", alpha: float = 16.0, **metadata: Any
) -> Path:
    """A GGUF adapter of (A, B) by matrix, arrays or `QuantizedTensor`s; a None is left out."""
    keys = {"general.type": "adapter", "adapter.type": "lora", "general.architecture": arch}
    tensors = [
        (f"{name}.lora_{half}", tensor)
        for name, pair in pairs.items()
        for half, tensor in zip("ab", pair, strict=True)
        if tensor is not None
    ]
    keys = {**keys, "adapter.lora.alpha": alpha, **metadata}
    write_gguf(path, {key: value for key, value in keys.items() if value is not None}, tensors)
    return path


def random_pair(
    rows: int, cols: int, rank: int = 4, seed: int = 0
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    rng = np.random.default_rng(seed)
    a = rng.normal(size=(rank, cols)).astype(np.float32) * np.float32(cols**-0.5)
    return a, rng.normal(size=(rows, rank)).astype(np.float32) * np.float32(0.3)
