"""A Hugging Face checkpoint folder to one GGUF file: weights, tokenizer and chat template."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phonelm import files
from phonelm.arch.arithmetic import count_parameters
from phonelm.arch.config import DecoderConfig
from phonelm.arch.tensors import model_tensors
from phonelm.formats.gguf_config import GgufForm, gguf_form
from phonelm.formats.gguf_outline import check_written
from phonelm.formats.gguf_writer import LazyTensor, write_gguf
from phonelm.formats.hf_config import config_from_hf
from phonelm.formats.hf_tensors import gguf_values
from phonelm.formats.mixtures import (
    PlannedTensor,
    default_embedding_type,
    describe_fallbacks,
    file_kind,
    file_type_number,
    plan_types,
)
from phonelm.formats.quantization import quantize, tensor_type
from phonelm.formats.safetensors_reader import Checkpoint
from phonelm.formats.tokenizer_export import tokenizer_metadata
from phonelm.progress import Progress


def convert_checkpoint(
    folder: Path | str,
    out: Path | str,
    block_type: str = "q4_0",
    embedding_type: str | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Convert and quantize a checkpoint, one tensor in memory at a time.

    `block_type` is one of `mixtures.KINDS`: a type or a mixture. The embedding (and an untied head) defaults
    to q8_0 under quantized types, to Q6_K in a mixture, else to `block_type`. A checkpoint without
    `lm_head.weight` is tied. A matrix whose columns do not fill blocks of 256 gets the next larger type of
    blocks of 32, one whose columns do not fill these stays F16.

    Returns a summary: `file`, `architecture`, `file_bytes`, `num_parameters`, `bits_per_weight` (of the
    tensors), `types` (tensors of each type), `f16_fallbacks` (names) and `made`. Raises `ValueError` for what
    cannot be converted, naming the tensor: missing, unknown, of another shape, or with numbers that are not
    finite.
    """
    started, folder, progress = time.perf_counter(), Path(folder), progress or Progress()
    kind = file_kind(block_type)
    outer = tensor_type(embedding_type).lower() if embedding_type else None
    checkpoint, config, form = open_checkpoint(folder)
    metadata = {
        **form.keys,
        **_general_metadata(folder, kind, outer),
        **tokenizer_metadata(folder, config.vocab_size, progress),
    }
    plan = plan_types(list(model_tensors(config)), kind, outer, heads_per_kv_head(config))
    progress.line(f"converting {folder} to {kind} (embedding {outer or default_embedding_type(kind)})")
    with progress.bar("quantize", sum(planned.tensor.size for planned in plan)) as advance:
        tensors = ((item.tensor.name, _lazy(checkpoint, config, form, item, advance)) for item in plan)
        num_bytes = write_gguf(out, metadata, tensors, lambda path: check_written(path, form.understood))
    for line in describe_fallbacks(plan):
        progress.line(line)
    return summary(out, num_bytes, form.family.architecture, config, plan) | {
        "made": files.provenance(
            config={
                "source": str(folder),
                "type": kind,
                "embedding_type": outer or default_embedding_type(kind),
            },
            wall_s=round(time.perf_counter() - started, 3),
        )
    }


def heads_per_kv_head(config: DecoderConfig) -> int:
    """Query heads for each head of keys and values, in the first layer."""
    mixer = config.layers[0].mixer
    return mixer.num_heads // mixer.num_kv_heads


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
    planned: PlannedTensor,
    advance: Callable[[float], None],
) -> LazyTensor:
    def make() -> NDArray[np.uint8]:
        values, name = gguf_values(checkpoint, config, form, planned.tensor)
        try:
            data = quantize(values, planned.stored)
        except ValueError as error:
            raise ValueError(f"{name} {error}; the checkpoint is broken") from error
        advance(planned.tensor.size)
        return data

    return LazyTensor(planned.stored, planned.tensor.shape, make)


def _general_metadata(folder: Path, kind: str, embedding_type: str | None) -> dict[str, Any]:
    # No time and no machine: the same checkpoint gives the same bytes.
    made = files.provenance(
        config={"type": kind, "embedding_type": embedding_type or default_embedding_type(kind)}
    )
    return {
        "general.type": "model",
        "general.name": folder.resolve().name,
        "general.file_type": file_type_number(kind),
        "general.quantization_version": 2,
        "phonelm.made": json.dumps({key: made[key] for key in ("phonelm", "config")}),
    }


def summary(
    out: Path | str, num_bytes: int, architecture: str, config: DecoderConfig, plan: Sequence[PlannedTensor]
) -> dict[str, Any]:
    """What was written: `file`, its bytes, parameters, bits per weight, and tensors of each type."""
    parameters = count_parameters(config).total
    return {
        "file": str(out),
        "architecture": architecture,
        "file_bytes": num_bytes,
        "num_parameters": parameters,
        "bits_per_weight": round(8 * sum(planned.num_bytes for planned in plan) / parameters, 3),
        "types": dict(Counter(planned.stored for planned in plan)),
        "f16_fallbacks": [
            planned.tensor.name for planned in plan if planned.stored == "f16" != planned.wanted
        ],
    }
