"""Reader of the LoRA folders that peft writes: adapter_config.json and adapter_model.safetensors.

https://huggingface.co/docs/peft/developer_guides/checkpoint . What the runtime would not reproduce is refused
by its name.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phonelm.files import read_json
from phonelm.formats.safetensors_reader import SafetensorsFile

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"

_PREFIX = "base_model.model."
_PARTS = {".lora_A.weight": 0, ".lora_B.weight": 1}
# Settings that change nothing once the weights are trained, or that are read here. Any other that is set is
# refused: an adapter must not silently do less than it was trained to do.
_KNOWN = frozenset(
    (
        *("peft_type", "peft_version", "task_type", "auto_mapping", "base_model_name_or_path", "revision"),
        *("r", "lora_alpha", "rank_pattern", "alpha_pattern", "use_rslora", "bias", "init_lora_weights"),
        *("target_modules", "exclude_modules", "layers_to_transform", "layers_pattern", "lora_dropout"),
        *(
            "loftq_config",
            "eva_config",
            "corda_config",
            "lora_ga_config",
            "velora_config",
            "qalora_group_size",
        ),
        *("megatron_config", "megatron_core", "runtime_config", "inference_mode"),
    )
)
_ADVICE = {
    "use_dora": "train without DoRA, or merge the adapter with peft's merge_and_unload",
    "modules_to_save": "merge the adapter with peft's merge_and_unload and convert the whole checkpoint",
    "fan_in_fan_out": "its base stores weights transposed, which no model here does",
    "layer_replication": "merge the adapter with peft's merge_and_unload and convert the whole checkpoint",
}
_USUAL_ADVICE = "train without it, or merge the adapter with peft's merge_and_unload"
_SAVE_ALONE = "if it was not trained, save the adapter with save_embedding_layers=False"
_OTHER_ADVICE = {"embed_tokens": _SAVE_ALONE, "lm_head": _SAVE_ALONE, "base_layer": _SAVE_ALONE}
# Others change the base's weights when peft loads the adapter.
_PLAIN_INITS = (True, False, None, "gaussian", "eva", "orthogonal")


@dataclass(frozen=True)
class LoraPair:
    """One adapted module: y += `scale` * B (A x), A [rank, inputs], B [outputs, rank]."""

    a_name: str
    b_name: str
    a_shape: tuple[int, ...]
    b_shape: tuple[int, ...]
    scale: float

    @property
    def rank(self) -> int:
        """Rows of A."""
        return self.a_shape[0]


class PeftAdapter:
    """A LoRA folder, checked as far as it can be without its base model; `pairs` by module name."""

    def __init__(self, folder: Path | str) -> None:
        """Read the configuration and the weights' header; `ValueError` says what is wrong or unsupported."""
        self.folder = Path(folder)
        self.config = _read_config(self.folder)
        self._file = SafetensorsFile(_weights_path(self.folder))
        self.pairs: dict[str, LoraPair] = {}
        for module, names in _paired(self._file).items():
            self.pairs[module] = self._pair(module, *names)
        if not self.pairs:
            raise ValueError(f"{self._file.path} holds no tensors; train the adapter and save it again")

    def load(self, name: str) -> NDArray[np.float32]:
        """A tensor as float32. Raises `ValueError` for a type other than F32, F16 and BF16."""
        return self._file.load(name)

    def _pair(self, module: str, a_name: str, b_name: str) -> LoraPair:
        a, b = self._file.shape(a_name), self._file.shape(b_name)
        if len(a) != 2 or len(b) != 2 or a[0] != b[1] or 0 in (*a, *b):
            raise ValueError(f"{a_name} has shape {a} and {b_name} {b}, which do not have one rank")
        rank = _setting(self.config, "rank_pattern", "r", module)
        if rank != a[0]:
            raise ValueError(f"{a_name} has rank {a[0]}, but {CONFIG} says {rank:g}; save the adapter again")
        alpha = _setting(self.config, "alpha_pattern", "lora_alpha", module)
        scale = alpha / (math.sqrt(rank) if self.config.get("use_rslora") else rank)
        return LoraPair(a_name, b_name, a, b, scale)


def _read_config(folder: Path) -> dict[str, Any]:
    path = folder / CONFIG
    if not path.is_file():
        raise ValueError(f"{folder} has no {CONFIG}; name the folder that peft's save_pretrained wrote")
    config = read_json(path)
    if not isinstance(config, dict):
        raise ValueError(f"{path} is not a JSON object; save the adapter again")
    if config.get("peft_type") != "LORA":
        raise ValueError(
            f"{path}: peft_type is {config.get('peft_type')!r}; only LORA adapters are supported"
        )
    if config.get("bias", "none") != "none":
        raise ValueError(f"{path}: bias is {config['bias']!r}, which is not supported; {_USUAL_ADVICE}")
    if config.get("init_lora_weights") not in _PLAIN_INITS:
        raise ValueError(
            f"{path}: init_lora_weights is {config['init_lora_weights']!r}, which changes the base's "
            "weights; save the adapter with path_initial_model_for_weight_conversion, or merge it"
        )
    for key, value in config.items():
        if value and key not in _KNOWN:
            raise ValueError(f"{path}: {key} is not supported; {_ADVICE.get(key, _USUAL_ADVICE)}")
    return config


def _weights_path(folder: Path) -> Path:
    path = folder / WEIGHTS
    if path.is_file():
        return path
    if (folder / "adapter_model.bin").is_file():
        raise ValueError(
            f"{folder} holds adapter_model.bin, a pickle, which is not read; load it with peft and save it "
            "with safe_serialization=True"
        )
    raise ValueError(f"{folder} has no {WEIGHTS}; name the folder that peft's save_pretrained wrote")


def _paired(file: SafetensorsFile) -> dict[str, tuple[str, str]]:
    """Module names with the names of their A and B."""
    found: dict[str, list[str]] = {}
    for name in file.names():
        part = next((part for part in _PARTS if name.endswith(part)), None)
        if part is None or not name.startswith(_PREFIX):
            raise ValueError(
                f"{file.path} holds {name!r}, which is not A or B of a linear layer; "
                + _OTHER_ADVICE.get(name.removesuffix(".weight").rpartition(".")[2], _USUAL_ADVICE)
            )
        module = name.removeprefix(_PREFIX).removesuffix(part)
        found.setdefault(module, ["", ""])[_PARTS[part]] = name
    for names in found.values():
        if not all(names):
            raise ValueError(
                f"{file.path} holds {max(names)!r} without its other half; save the adapter again"
            )
    return {module: (names[0], names[1]) for module, names in found.items()}


def _setting(config: Mapping[str, Any], patterns: str, default: str, module: str) -> float:
    """A module's number: the first pattern that matches the end of its name, as in peft, or the default."""
    chosen, named = default, config.get(default)
    table = config.get(patterns) or {}
    if not isinstance(table, dict):
        raise ValueError(f"{CONFIG}: {patterns} is not an object; save the adapter again")
    for pattern, value in table.items():
        # peft takes regular expressions; one from a file that nobody checked could run for ever.
        if not re.fullmatch(r"\^?[\w.\-]+", pattern):
            raise ValueError(f"{CONFIG}: {patterns} has {pattern!r}; name each module instead of a pattern")
        if re.match(rf"(.*\.)?({pattern})$", module):
            chosen, named = f"{patterns}[{pattern!r}]", value
            break
    if not isinstance(named, int | float) or isinstance(named, bool) or not 0 < named < 1e9:
        raise ValueError(f"{CONFIG}: {chosen} is {named!r}; it must be a positive number")
    return float(named)
