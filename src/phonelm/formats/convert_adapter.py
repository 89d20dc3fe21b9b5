"""A peft LoRA folder to a GGUF adapter, in the layout of llama.cpp's convert_lora_to_gguf.py.

For a matrix NAME the file holds NAME.lora_a (A) and NAME.lora_b (B), and one `adapter.lora.alpha`, which a
reader divides by each pair's rank. What differs between modules (alpha_pattern, rank-stabilized scales) is
multiplied into B.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phonelm import files
from phonelm.arch.arithmetic import known_type
from phonelm.arch.tensors import model_tensors
from phonelm.formats.families import by_architecture
from phonelm.formats.families.base import permute_rows
from phonelm.formats.gguf_config import gguf_architecture
from phonelm.formats.gguf_writer import LazyTensor, write_gguf
from phonelm.formats.hf_config import config_from_hf
from phonelm.formats.peft_adapter import LoraPair, PeftAdapter
from phonelm.formats.quantization import quantize

WEIGHT_TYPES = ("f32", "f16", "bf16")
_MODULES = {
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_qkv": "self_attn.qkv_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


@dataclass(frozen=True)
class AdapterBase:
    """What an adapter must fit: the matrices of a model by their GGUF names, [outputs, inputs]."""

    architecture: str
    head_dim: int
    shapes: Mapping[str, tuple[int, ...]]

    @classmethod
    def from_gguf(cls, metadata: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]]) -> AdapterBase:
        """Of a GGUF file: its metadata, and its tensors' shapes, rows first."""
        arch = metadata.get("general.architecture")
        head_dim = metadata.get(f"{arch}.attention.key_length")
        if head_dim is None:
            hidden = metadata.get(f"{arch}.embedding_length")
            heads = metadata.get(f"{arch}.attention.head_count")
            if isinstance(heads, list) and len(set(heads)) == 1:
                heads = heads[0]  # one for each layer
            if not isinstance(hidden, int) or not isinstance(heads, int) or heads < 1:
                raise ValueError("GGUF metadata do not tell the size of a head; convert the base model again")
            head_dim = hidden // heads
        return cls(str(arch), int(head_dim), shapes)

    @classmethod
    def from_path(cls, path: Path) -> AdapterBase:
        """Of a GGUF file, or of a Hugging Face folder's config.json."""
        if not path.is_dir():
            from phonelm import _native

            tensors = _native.read_tensors(str(path))
            shapes = {tensor["name"]: tuple(tensor["shape"][::-1]) for tensor in tensors}
            return cls.from_gguf(_native.read_metadata(str(path)), shapes)
        document = files.read_json(path / "config.json")
        if not isinstance(document, dict):
            raise ValueError(f"{path / 'config.json'} is not a JSON object; fetch it again")
        config = config_from_hf(document)
        shapes = {tensor.name: tensor.shape for tensor in model_tensors(config)}
        return cls(gguf_architecture(config), config.layers[0].mixer.head_dim, shapes)

    def places(self) -> dict[str, str]:
        """GGUF names by the names of Hugging Face's modules, of all linear layers."""
        found = {"lm_head": "output.weight"}
        for name in self.shapes:
            match = re.fullmatch(r"blk\.(\d+)\.(\w+)\.weight", name)
            part = _MODULES.get(match[2]) if match else None
            if match and part:
                if match[2] == "ffn_up" and self._is_stacked(match[1]):
                    part = "mlp.gate_up_proj"
                found[f"model.layers.{match[1]}.{part}"] = name
        return found

    def shape(self, name: str) -> tuple[int, ...]:
        """Of a matrix; a head that is not there is the embedding."""
        return self.shapes[name] if name in self.shapes else self.shapes["token_embd.weight"]

    def _is_stacked(self, layer: str) -> bool:
        up, down = (self.shapes.get(f"blk.{layer}.ffn_{name}.weight", (0, 0)) for name in ("up", "down"))
        return up[0] == 2 * down[-1] > 0


def convert_adapter(
    folder: Path | str, base: AdapterBase | Path | str, out: Path | str, weight_type: str = "f32"
) -> None:
    """Write a peft LoRA folder as a GGUF adapter for `base`, a GGUF file or a Hugging Face folder.

    Raises `ValueError` for an adapter that needs more than LoRA on linear layers (DoRA, saved modules,
    biases), or whose modules or shapes are not the base's, by their names, and for a `weight_type` that is
    not f32, f16 or bf16.
    """
    adapter, base = (
        PeftAdapter(folder),
        base if isinstance(base, AdapterBase) else AdapterBase.from_path(Path(base)),
    )
    stored = known_type(weight_type)
    if stored not in WEIGHT_TYPES:
        raise ValueError(f"adapters are stored as f32, f16 or bf16, not {weight_type}")
    places = base.places()
    for module, pair in adapter.pairs.items():
        _check(module, pair, base, places)
    alpha = _alpha(adapter)
    metadata = {
        "general.architecture": base.architecture,
        "general.type": "adapter",
        "general.name": Path(folder).resolve().name,
        "adapter.type": "lora",
        "adapter.lora.alpha": alpha,
    }
    write_gguf(out, metadata, _tensors(adapter, base, places, alpha, stored))


def _check(module: str, pair: LoraPair, base: AdapterBase, places: Mapping[str, str]) -> None:
    if module not in places:
        raise ValueError(f"{pair.a_name} adapts {module}, which is no linear layer of this model")
    outputs, inputs = base.shape(places[module])
    if (pair.a_shape[1], pair.b_shape[0]) == (inputs, outputs):
        return
    of_a = pair.a_shape[1] != inputs
    raise ValueError(
        f"{pair.a_name if of_a else pair.b_name} has shape {pair.a_shape if of_a else pair.b_shape}, "
        f"but this model's {module} is {(outputs, inputs)}; take an adapter that was trained for it"
    )


def _alpha(adapter: PeftAdapter) -> float:
    """The alpha that most pairs have, so that their B is stored as it is."""
    counts = Counter(_alpha_of(pair) for pair in adapter.pairs.values())
    return counts.most_common(1)[0][0]


def _alpha_of(pair: LoraPair) -> float:
    return float(np.float32(pair.scale * pair.rank))


def _tensors(
    adapter: PeftAdapter, base: AdapterBase, places: Mapping[str, str], alpha: float, stored: str
) -> Iterator[tuple[str, LazyTensor]]:
    family = by_architecture(base.architecture)
    interleaves_rows = family is not None and family.interleaves_rows
    for module, pair in adapter.pairs.items():
        name, factor = places[module], _alpha_of(pair) / alpha
        permuted = interleaves_rows and name.endswith(("attn_q.weight", "attn_k.weight"))
        head_dim = base.head_dim if permuted else None
        yield f"{name}.lora_a", _lazy(adapter, pair.a_name, pair.a_shape, stored)
        yield f"{name}.lora_b", _lazy(adapter, pair.b_name, pair.b_shape, stored, factor, head_dim)


def _lazy(
    adapter: PeftAdapter,
    name: str,
    shape: tuple[int, ...],
    stored: str,
    factor: float = 1.0,
    head_dim: int | None = None,
) -> LazyTensor:
    def make() -> NDArray[np.uint8]:
        values = adapter.load(name)
        if not math.isclose(factor, 1.0, rel_tol=1e-7):
            values = values * np.float32(factor)
        if head_dim is not None:
            values = permute_rows(values, head_dim)
        try:
            return quantize(values, stored)
        except ValueError as error:
            raise ValueError(f"{name} {error}; the adapter is broken or needs weight_type f32") from error

    return LazyTensor(stored, shape, make)
