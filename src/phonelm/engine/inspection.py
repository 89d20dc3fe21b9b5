"""What a GGUF file holds and what this runtime makes of it, from its header alone."""

from __future__ import annotations

import json
import stat
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from phonelm.engine.hub.listing import part_number
from phonelm.formats.gguf_header import GgufHeader, TensorEntry, read_header
from phonelm.words import printable

if TYPE_CHECKING:
    from phonelm.arch import DecoderConfig

Document = dict[str, Any]


def inspect(path: Path) -> Document:
    """Return a JSON-able description of a file; of one part of a split model, of all that are there.

    `runtime` says whether the file can be loaded, else why not; `metadata` and `tensors` are whole. Raises
    `ValueError` for a broken file, `OSError` for one that cannot be read.
    """
    files = _files_of(path)
    headers = [read_header(file) for file in files]
    metadata = headers[0].metadata
    tensors = [tensor for header in headers for tensor in header.tensors]
    return {
        "path": str(path),
        "files": [str(file) for file in files],
        "file_bytes": sum(header.file_bytes for header in headers),
        "kind": kind_of(headers[0]),
        **_named(metadata),
        **_weights(tensors),
        "runtime": _runtime(path, metadata),
        "tokenizer": _tokenizer(path, metadata),
        "adapter": _adapter(metadata, tensors),
        "metadata": metadata,
        "tensors": [_tensor(tensor) for tensor in tensors],
    }


def kind_of(header: GgufHeader) -> str:
    """What a file is by its own word: "model", "adapter", "vocabulary", or another `general.type`."""
    if "adapter.type" in header.metadata:
        return "adapter"
    if not header.tensors and "tokenizer.ggml.tokens" in header.metadata:
        return "vocabulary"
    return str(header.metadata.get("general.type", "model"))


def _files_of(path: Path) -> list[Path]:
    if not stat.S_ISREG(path.stat().st_mode):
        raise ValueError(f"{printable(str(path))} is no regular file; give a .gguf file")
    part = part_number(path.name)
    if part is None:
        return [path]
    stem, _, count = part
    names = (f"{stem}-{number:05d}-of-{count:05d}{path.name[-5:]}" for number in range(1, count + 1))
    there = [path.with_name(name) for name in names if path.with_name(name).is_file()]
    return there or [path]


def _named(metadata: Document) -> Document:
    keys = {"name": "general.name", "architecture": "general.architecture", "licence": "general.license"}
    return {name: metadata.get(key) for name, key in keys.items()}


def _weights(tensors: Sequence[TensorEntry]) -> Document:
    num_weights = sum(tensor.num_weights for tensor in tensors)
    known = [tensor for tensor in tensors if tensor.num_bytes is not None]
    num_bytes = sum(tensor.num_bytes or 0 for tensor in known)
    counted_weights = sum(tensor.num_weights for tensor in known)
    return {
        "num_parameters": num_weights,
        "num_tensors": len(tensors),
        "weight_bytes": num_bytes,
        "bits_per_weight": round(8 * num_bytes / counted_weights, 3) if counted_weights else None,
        "types": dict(Counter(tensor.type for tensor in tensors).most_common()),
    }


def _runtime(path: Path, metadata: Document) -> Document:
    """What a load finds, or what the file says of itself and why it is refused."""
    from phonelm import _native
    from phonelm.arch import DecoderConfig

    try:
        outline = _native.outline(str(path))
    except (ValueError, OSError) as error:
        return {"loads": False, "reason": printable(str(error)), **_claimed(metadata)}
    # Layers that differ have numbers of their own; the graph tells them all.
    config = DecoderConfig.model_validate_json(outline["description"])
    return {
        "loads": True,
        "reason": None,
        **_shape(config),
        "memory_bytes": outline["weight_bytes"],
        "kv_bytes_per_token": outline["kv_bytes"],
        "config": json.loads(outline["description"]),
    }


def _shape(config: DecoderConfig) -> Document:
    def each(read: Any) -> int | list[int]:
        values = [read(layer) for layer in config.layers]
        return values[0] if len(set(values)) == 1 else values

    return {
        "layers": config.num_layers,
        "hidden_size": config.hidden_size,
        "heads": each(lambda layer: layer.mixer.num_heads),
        "kv_heads": each(lambda layer: layer.mixer.num_kv_heads),
        "head_dim": each(lambda layer: layer.mixer.head_dim),
        "context_length": config.context_length,
        "vocab_size": config.vocab_size,
    }


def _claimed(metadata: Document) -> Document:
    architecture = metadata.get("general.architecture")
    keys = {
        "layers": "block_count",
        "hidden_size": "embedding_length",
        "heads": "attention.head_count",
        "kv_heads": "attention.head_count_kv",
        "context_length": "context_length",
    }
    claims = {name: metadata.get(f"{architecture}.{key}") for name, key in keys.items()}
    return {name: value for name, value in claims.items() if value is not None}


def _tokenizer(path: Path, metadata: Document) -> Document | None:
    from phonelm import _native

    if "tokenizer.ggml.model" not in metadata:
        return None
    facts = {
        "model": metadata["tokenizer.ggml.model"],
        "pre": metadata.get("tokenizer.ggml.pre"),
        "num_tokens": len(metadata.get("tokenizer.ggml.tokens") or ()),
        "has_template": "tokenizer.chat_template" in metadata,
    }
    try:
        tokenizer = _native.Tokenizer.from_gguf(str(path))
    except (ValueError, OSError) as error:
        return {**facts, "loads": False, "reason": printable(str(error))}
    ids = {"bos_id": tokenizer.bos_id, "eos_id": tokenizer.eos_id, "stop_ids": sorted(tokenizer.stop_ids)}
    return {**facts, "loads": True, "reason": None, **ids}


def _adapter(metadata: Document, tensors: Sequence[TensorEntry]) -> Document | None:
    if "adapter.type" not in metadata:
        return None
    # Of a matrix, A is [rank][columns]; the file gives columns first.
    sides = [tensor for tensor in tensors if tensor.name.endswith(".lora_a")]
    ranks = {tensor.shape[1] for tensor in sides if len(tensor.shape) > 1}
    return {
        "type": metadata["adapter.type"],
        "alpha": metadata.get("adapter.lora.alpha"),
        "ranks": sorted(ranks),
        "num_matrices": len(sides),
    }


def _tensor(tensor: TensorEntry) -> Document:
    return {
        "name": tensor.name,
        "type": tensor.type,
        "shape": list(tensor.shape),
        "num_bytes": tensor.num_bytes,
    }
