"""A GGUF model to one GGUF file of other weight types; its metadata stay as they are, byte for byte."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phonelm import files
from phonelm.arch.arithmetic import BLOCKS
from phonelm.arch.part import Role, TensorShape
from phonelm.formats.convert import heads_per_kv_head, summary
from phonelm.formats.gguf_outline import check_written, read_gguf_config
from phonelm.formats.gguf_reader import StoredModel, StoredTensor, read_stored
from phonelm.formats.gguf_writer import LazyTensor, write_gguf
from phonelm.formats.mixtures import (
    PlannedTensor,
    describe_fallbacks,
    file_kind,
    file_type_number,
    plan_types,
)
from phonelm.formats.quantization import dequantize, quantize
from phonelm.progress import Progress

_ROLES: dict[str, Role] = {"token_embd.weight": "embedding", "output.weight": "head"}
_DROPPED = ("general.alignment", "split.no", "split.count", "split.tensors.count")
Encode = Callable[[str, NDArray[np.float32], str], NDArray[np.uint8]]
"""The bytes of a matrix, uint8 [rows, bytes of a row], from its name, float32 values and type."""
_ENOUGH_BITS = 7
"""Weights of fewer bits are not quantized a second time unless that is asked for: the errors add up."""


def requantize_gguf(
    path: Path | str,
    out: Path | str,
    kind: str = "q4_0",
    embedding_type: str | None = None,
    progress: Progress | None = None,
    allow_requantize: bool = False,
    encode: Encode | None = None,
) -> dict[str, Any]:
    """Write a GGUF model, in one file or in parts, with its matrices as `kind` says, one in memory at a time.

    Types as in `convert_checkpoint`. Vectors, and matrices that are of their type already, are copied.
    `encode` rounds a matrix, given its name, values [rows, columns] and type; `quantize` if not given.
    Returns its summary. Raises `ValueError` for a file that the runtime cannot read, for weights of 6 bits or
    fewer that would be quantized again without `allow_requantize`, and for an output that is the input.
    """
    started, progress, kind = time.perf_counter(), progress or Progress(), file_kind(kind)
    source = read_stored(path)
    _check_output(source, Path(out))
    config = read_gguf_config(path)
    plan = _plan(source, kind, embedding_type, heads_per_kv_head(config))
    if not allow_requantize:
        _check_precision(Path(path), source.tensors, plan)
    progress.line(f"converting {path} to {kind}")
    with progress.bar("quantize", sum(planned.tensor.size for planned in plan)) as advance:
        tensors = _lazy_tensors(source.tensors, plan, advance, encode or _plain)
        num_bytes = write_gguf(
            out, _metadata(source, kind), tensors, lambda written: check_written(written, config)
        )
    for line in describe_fallbacks(plan):
        progress.line(line)
    return summary(out, num_bytes, _text(source, "general.architecture"), config, plan) | {
        "made": files.provenance(
            config={"source": str(path), "type": kind, "embedding_type": embedding_type},
            wall_s=round(time.perf_counter() - started, 3),
        )
    }


def _check_output(source: StoredModel, out: Path) -> None:
    for path in source.paths:
        if out.exists() and path.samefile(out):
            raise ValueError(f"{out} is the model that is read; name another file to write")


def _plan(
    source: StoredModel, kind: str, embedding_type: str | None, heads_per_kv: int
) -> list[PlannedTensor]:
    shapes = [TensorShape(tensor.name, tensor.shape, _role(tensor)) for tensor in source.tensors]
    planned = plan_types(shapes, kind, embedding_type, heads_per_kv)
    return [
        PlannedTensor(item.tensor, tensor.type, tensor.type) if item.tensor.role == "vector" else item
        for item, tensor in zip(planned, source.tensors, strict=True)
    ]


def _role(tensor: StoredTensor) -> Role:
    """`vector` for all that is not quantized: norms, biases and tables of positions."""
    if len(tensor.shape) > 2:
        raise ValueError(f"{tensor.name} has {len(tensor.shape)} dimensions; only matrices can be quantized")
    is_matrix = len(tensor.shape) == 2 and tensor.name.endswith(".weight")
    if not is_matrix or "_norm." in tensor.name or tensor.name.startswith("position_embd"):
        return "vector"
    return _ROLES.get(tensor.name, "matrix")


def _check_precision(path: Path, tensors: Sequence[StoredTensor], plan: Sequence[PlannedTensor]) -> None:
    again = Counter(
        tensor.type.upper()
        for tensor, planned in zip(tensors, plan, strict=True)
        if tensor.type != planned.stored
        and _bits(tensor.type) < _ENOUGH_BITS
        and BLOCKS[planned.stored][0] > 1
    )
    if again:
        counts = ", ".join(f"{count} of {name}" for name, count in again.items())
        raise ValueError(
            f"{path} has tensors of 6 bits or fewer already ({counts}), and quantizing them again adds error "
            "to error; start from its F16, BF16 or Q8_0 file, or add --allow-requantize"
        )


def _bits(weight_type: str) -> float:
    elements, size = BLOCKS[weight_type]
    return 8 * size / elements


def _metadata(source: StoredModel, kind: str) -> dict[str, Any]:
    changed = {"general.file_type": file_type_number(kind), "general.quantization_version": 2}
    return {key: value for key, value in source.metadata.items() if key not in _DROPPED} | changed


def _lazy_tensors(
    tensors: Sequence[StoredTensor],
    plan: Sequence[PlannedTensor],
    advance: Callable[[float], None],
    encode: Encode,
) -> Iterator[tuple[str, LazyTensor]]:
    for tensor, planned in zip(tensors, plan, strict=True):
        yield tensor.name, _lazy(tensor, planned, advance, encode)


def _plain(_name: str, values: NDArray[np.float32], type: str) -> NDArray[np.uint8]:
    return quantize(values, type)


def _lazy(
    tensor: StoredTensor, planned: PlannedTensor, advance: Callable[[float], None], encode: Encode
) -> LazyTensor:
    def make() -> NDArray[np.uint8]:
        data = tensor.read()
        if planned.stored != tensor.type:
            data = encode(tensor.name, dequantize(data, tensor.type), planned.stored)
        advance(planned.tensor.size)
        return data

    return LazyTensor(planned.stored, tensor.shape, make)


def _text(source: StoredModel, key: str) -> str:
    # 4 bytes of type and 8 of length come first.
    return source.metadata[key].data[12:].decode()
