"""A Hugging Face checkpoint folder to one GGUF file: weights, tokenizer and chat template."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phonelm import files
from phonelm.arch.arithmetic import count_parameters, known_type, stored_type, weight_bytes
from phonelm.arch.config import DecoderConfig
from phonelm.arch.tensors import TensorShape, model_tensors
from phonelm.formats.gguf_config import GgufForm, gguf_form
from phonelm.formats.gguf_outline import check_written
from phonelm.formats.gguf_writer import LazyTensor, write_gguf
from phonelm.formats.hf_config import config_from_hf
from phonelm.formats.hf_tensors import gguf_values
from phonelm.formats.quantization import quantize, tensor_type
from phonelm.formats.safetensors_reader import Checkpoint
from phonelm.formats.tokenizer_export import tokenizer_metadata
from phonelm.progress import Progress

# llama.cpp's `enum llama_ftype`.
_FILE_TYPES = {"f32": 0, "f16": 1, "q4_0": 2, "q4_1": 3, "q8_0": 7, "bf16": 32}


def convert_checkpoint(
    folder: Path | str,
    out: Path | str,
    block_type: str = "q4_0",
    embedding_type: str | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Convert and quantize a checkpoint, one tensor in memory at a time.

    The embedding (and an untied head) defaults to q8_0 under 4 and 8-bit blocks, else to `block_type`. A
    checkpoint without `lm_head.weight` is tied. A matrix whose columns do not fill blocks of 32 stays F16.

    Returns a summary: `file`, `architecture`, `file_bytes`, `num_parameters`, `bits_per_weight` (of the
    tensors), `types` (tensors of each type), `f16_fallbacks` (names) and `made`. Raises `ValueError` for what
    cannot be converted, naming the tensor: missing, unknown, of another shape, or with numbers that are not
    finite.
    """
    started, folder, progress = time.perf_counter(), Path(folder), progress or Progress()
    block_type = tensor_type(block_type).lower()
    embedding_type = tensor_type(embedding_type or default_embedding_type(block_type)).lower()
    checkpoint, config, form = open_checkpoint(folder)
    metadata = {
        **form.keys,
        **_general_metadata(folder, block_type, embedding_type),
        **tokenizer_metadata(folder, config.vocab_size, progress),
    }
    plan = [(tensor, stored_type(tensor, block_type, embedding_type)) for tensor in model_tensors(config)]
    progress.line(f"converting {folder} to {block_type} (embedding {embedding_type})")
    with progress.bar("quantize", sum(tensor.size for tensor, _ in plan)) as advance:
        tensors = (
            (item.name, _lazy(checkpoint, config, form, item, stored, advance)) for item, stored in plan
        )
        write_gguf(out, metadata, tensors, lambda path: check_written(path, form.understood))
    summary = _summary(Path(out), config, form, plan, (block_type, embedding_type))
    for name in summary["f16_fallbacks"]:
        progress.line(f"{name} stays F16: its columns are not a multiple of 32")
    return summary | {
        "made": files.provenance(
            config={"source": str(folder), "type": block_type, "embedding_type": embedding_type},
            wall_s=round(time.perf_counter() - started, 3),
        )
    }


def default_embedding_type(block_type: str) -> str:
    """The embedding's type when none is asked for: lookups and the head need more than 4 bits."""
    return "q8_0" if known_type(block_type) in ("q4_0", "q4_1", "q8_0") else block_type


def open_checkpoint(folder: Path) -> tuple[Checkpoint, DecoderConfig, GgufForm]:
    """The tensors of a Hugging Face folder, each checked for its name and shape, its decoder and its form."""
    if not folder.is_dir():
        raise ValueError(f"{folder} is not a folder; name one with config.json and model.safetensors")
    if not (folder / "config.json").is_file():
        raise ValueError(f"{folder} has no config.json; name the folder of a Hugging Face checkpoint")
    document = files.read_json(folder / "config.json")
    if not isinstance(document, dict):
        raise ValueError(f"{folder / 'config.json'} is not a JSON object; fetch it again")
    config, checkpoint = config_from_hf(document), Checkpoint(folder)
    if "lm_head.weight" not in checkpoint:
        config = config.model_copy(update={"tie_embeddings": True})
    form = gguf_form(config)
    _check_tensors(checkpoint, config, form)
    return checkpoint, config, form


def _check_tensors(checkpoint: Checkpoint, config: DecoderConfig, form: GgufForm) -> None:
    stored = [tensor for tensor in model_tensors(config) if tensor.role != "constant"]
    expected = {form.family.hf_name(tensor.name): tensor.shape for tensor in stored}
    for name, shape in expected.items():
        if name not in checkpoint:
            raise ValueError(f"the checkpoint lacks {name}; config.json asks for it")
        if checkpoint[name] != shape:
            raise ValueError(f"{name} has shape {checkpoint[name]}, but config.json asks for {shape}")
    for name in checkpoint:
        # Old checkpoints keep the constants of RoPE, and tied ones may keep a copy of the embedding.
        if name not in expected and name != "lm_head.weight" and not name.endswith("rotary_emb.inv_freq"):
            raise ValueError(f"the checkpoint holds {name}, which has no place in the decoder of config.json")


def _lazy(
    checkpoint: Checkpoint,
    config: DecoderConfig,
    form: GgufForm,
    tensor: TensorShape,
    stored: str,
    advance: Callable[[float], None],
) -> LazyTensor:
    def make() -> NDArray[np.uint8]:
        values, name = gguf_values(checkpoint, config, form, tensor)
        try:
            data = quantize(values, stored)
        except ValueError as error:
            raise ValueError(f"{name} {error}; the checkpoint is broken") from error
        advance(tensor.size)
        return data

    return LazyTensor(stored, tensor.shape, make)


def _general_metadata(folder: Path, block_type: str, embedding_type: str) -> dict[str, Any]:
    # No time and no machine: the same checkpoint gives the same bytes.
    made = files.provenance(config={"type": block_type, "embedding_type": embedding_type})
    return {
        "general.type": "model",
        "general.name": folder.resolve().name,
        "general.file_type": _FILE_TYPES[block_type],
        "general.quantization_version": 2,
        "phonelm.made": json.dumps({key: made[key] for key in ("phonelm", "config")}),
    }


def _summary(
    out: Path,
    config: DecoderConfig,
    form: GgufForm,
    plan: list[tuple[TensorShape, str]],
    types: tuple[str, str],
) -> dict[str, Any]:
    parameters = count_parameters(config).total
    fallbacks = [
        tensor.name for tensor, stored in plan
        if tensor.role not in ("vector", "constant") and stored != types[tensor.role != "matrix"]
    ]  # fmt: skip
    return {
        "file": str(out),
        "architecture": form.family.architecture,
        "file_bytes": out.stat().st_size,
        "num_parameters": parameters,
        "bits_per_weight": round(8 * weight_bytes(config, *types) / parameters, 3),
        "types": dict(Counter(stored for _, stored in plan)),
        "f16_fallbacks": fallbacks,
    }
