"""A GGUF model to a Hugging Face checkpoint folder, which can be trained: the way back of `convert`."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phonelm import files
from phonelm.arch import DecoderConfig, Layer
from phonelm.arch.arithmetic import count_parameters
from phonelm.arch.tensors import TensorShape, model_tensors
from phonelm.formats.families import Family, by_architecture
from phonelm.formats.families.base import changed
from phonelm.formats.gguf_outline import read_gguf_config
from phonelm.formats.gguf_reader import StoredModel, StoredTensor, read_stored
from phonelm.formats.gguf_writer import LazyTensor
from phonelm.formats.hf_config import config_to_hf
from phonelm.formats.quantization import dequantize, quantize
from phonelm.formats.safetensors_writer import write_checkpoint
from phonelm.formats.tokenizer_import import ImportedTokenizer, import_tokenizer
from phonelm.preconditions import require_room
from phonelm.progress import Progress

DTYPES = {"float32": "F32", "bfloat16": "BF16", "float16": "F16"}
"""Types of the weights in the folder, and safetensors' names of them."""
_ITEM_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
_CHUNK_WEIGHTS = 1 << 22
"""Decoded at once: temporaries stay small beside the largest tensor."""
_FACTOR_NAMES = {
    "factors": {"factors": "rope_freqs"},
    "longrope": {"factors": "rope_factors_short", "long_factors": "rope_factors_long"},
}


@dataclass(frozen=True)
class _Source:
    """A model as it is stored, and what it means."""

    stored: StoredModel
    tensors: Mapping[str, StoredTensor]
    config: DecoderConfig
    family: Family


def import_gguf(
    path: Path | str, out: Path | str, dtype: str = "float32", progress: Progress | None = None
) -> dict[str, Any]:
    """Write a GGUF model, in one file or in parts, as a folder that transformers loads, one tensor at a time.

    The weights are those that the runtime computes with, dequantized and rounded to `dtype`, one of `DTYPES`;
    the folder has its tokenizer, chat templates and generation_config.json too. `out` is a folder that is
    empty or not there.

    Returns a summary: `folder`, `architecture`, `model_type`, `dtype`, `num_parameters`, `weight_bytes`,
    `files` and `made`. Raises `ValueError` for a file that the runtime cannot read or that config.json or
    tokenizer.json cannot describe, and `OSError` where there is no room.
    """
    started, progress = time.perf_counter(), progress or Progress()
    if dtype not in DTYPES:
        raise ValueError(f"unknown dtype {dtype!r}; choose one of {', '.join(DTYPES)}")
    folder = _checked_folder(out)
    source = _open(Path(path))
    tokenizer = import_tokenizer(Path(path), source.config.context_length)
    documents = _documents(source, tokenizer, dtype)
    shapes = {source.family.hf_name(tensor.name): tensor for tensor in _weights(source)}
    num_bytes = _ITEM_BYTES[dtype] * sum(tensor.size for tensor in shapes.values())
    require_room(folder, num_bytes)
    progress.line(f"importing {path} as {dtype}")
    names = _write(folder, source, documents, shapes, dtype, progress)
    return {
        "folder": str(out),
        "architecture": source.family.architecture,
        "model_type": source.family.model_type,
        "dtype": dtype,
        "num_parameters": count_parameters(source.config).total,
        "weight_bytes": num_bytes,
        "files": sorted(names),
        "made": files.provenance(
            config={"source": str(path), "dtype": dtype}, wall_s=round(time.perf_counter() - started, 3)
        ),
    }


def _write(
    folder: Path,
    source: _Source,
    documents: Mapping[str, dict[str, Any]],
    shapes: Mapping[str, TensorShape],
    dtype: str,
    progress: Progress,
) -> list[str]:
    """Write the folder, all of it or nothing; return its files' names."""
    # No time and no machine: the same file gives the same bytes.
    made = files.provenance(config={"source": source.stored.paths[0].name, "dtype": dtype})
    metadata = {"phonelm.made": json.dumps({key: made[key] for key in ("phonelm", "config")})}
    files.remove_leftovers(folder)
    with (
        progress.bar("import", sum(tensor.size for tensor in shapes.values())) as advance,
        files.atomic_path(folder) as temporary,
    ):
        temporary.mkdir()
        for name, document in documents.items():
            files.write_json(temporary / name, document)
        tensors = {name: _lazy(source, tensor, DTYPES[dtype], advance) for name, tensor in shapes.items()}
        return [*documents, *write_checkpoint(temporary, tensors, metadata)]


def _checked_folder(out: Path | str) -> Path:
    folder = Path(out).absolute()
    if folder.is_dir():
        if any(folder.iterdir()):
            raise ValueError(f"{out} is not empty; name a new folder")
    elif folder.exists() or folder.is_symlink():
        raise ValueError(f"{out} is a file; name a new folder")
    return folder


def _open(path: Path) -> _Source:
    stored, config = read_stored(path), read_gguf_config(path)
    # 4 bytes of type and 8 of length come first.
    family = by_architecture(stored.metadata["general.architecture"].data[12:].decode())
    assert family is not None, "the core refuses others"
    tensors = {tensor.name: tensor for tensor in stored.tensors}
    source = _Source(stored, tensors, _with_factors(config, tensors), family)
    _check_tensors(source)
    return source


def _with_factors(config: DecoderConfig, tensors: Mapping[str, StoredTensor]) -> DecoderConfig:
    """The decoder with the factors of RoPE, which a file holds as tensors."""
    known = {layer: _layer_with_factors(layer, tensors) for layer in dict.fromkeys(config.layers)}
    return config.model_copy(update={"layers": tuple(known[layer] for layer in config.layers)})


def _layer_with_factors(layer: Layer, tensors: Mapping[str, StoredTensor]) -> Layer:
    rope = layer.mixer.rope
    if rope is None or rope.scaling is None or rope.scaling.factors is not None:
        return layer
    names = _FACTOR_NAMES.get(rope.scaling.kind, {})
    factors = {field: tuple(_values(tensors[f"{name}.weight"]).tolist()) for field, name in names.items()}
    scaling = rope.scaling.model_copy(update=factors)
    return changed(layer, mixer={"rope": rope.model_copy(update={"scaling": scaling})})


def _weights(source: _Source) -> list[TensorShape]:
    """All that a checkpoint holds: factors of RoPE go into config.json."""
    return [tensor for tensor in model_tensors(source.config) if tensor.role != "constant"]


def _check_tensors(source: _Source) -> None:
    expected = {tensor.name: tensor.shape for tensor in model_tensors(source.config)}
    for name, shape in expected.items():
        if name not in source.tensors:
            raise ValueError(f"{source.stored.paths[0]} lacks the tensor {name}; get the file again")
        if source.tensors[name].shape != shape:
            found = source.tensors[name].shape
            raise ValueError(f"{name} has shape {found}, but the file's keys ask for {shape}")
    for name in source.tensors:
        if name not in expected:
            raise ValueError(
                f"the file holds {name}, which has no place in a {source.family.model_type} model"
            )


def _documents(source: _Source, tokenizer: ImportedTokenizer, dtype: str) -> dict[str, dict[str, Any]]:
    stops = tokenizer.stop_ids
    ends = {"eos_token_id": stops[0] if len(stops) == 1 else stops} if stops else {}
    told = {key: value for key, value in {**tokenizer.ids, **ends}.items() if value is not None}
    return {
        "config.json": {
            **config_to_hf(source.config, source.family.model_type),
            **tokenizer.ids,
            "dtype": dtype,
        },
        "generation_config.json": told,
        "tokenizer.json": tokenizer.document,
        "tokenizer_config.json": tokenizer.settings,
    }


def _lazy(source: _Source, tensor: TensorShape, dtype: str, advance: Callable[[float], None]) -> LazyTensor:
    def make() -> NDArray[np.uint8]:
        values = _values(source.tensors[tensor.name])
        values = source.family.checkpoint_values(values, tensor, source.config)
        try:
            data = quantize(values, dtype)
        except ValueError as error:
            advice = "; take bfloat16" if dtype == "F16" else "; get the file again"
            raise ValueError(f"{error}{advice}") from error
        advance(tensor.size)
        return data

    return LazyTensor(dtype, tensor.shape, make)


def _values(tensor: StoredTensor) -> NDArray[np.float32]:
    """The numbers of a tensor, float32 of its shape."""
    data = tensor.read()
    if len(tensor.shape) == 1:
        return dequantize(data, tensor.type)
    values = np.empty(tensor.shape, np.float32)
    step = max(1, _CHUNK_WEIGHTS // tensor.shape[1])
    for row in range(0, len(values), step):
        values[row : row + step] = dequantize(data[row : row + step], tensor.type)
    return values
