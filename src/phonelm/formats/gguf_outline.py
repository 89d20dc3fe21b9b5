"""What the core understands of a GGUF file before its weights exist, compared with what is meant."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from phonelm import files
from phonelm.arch import DecoderConfig, Layer, RopeScaling
from phonelm.arch.part import Part
from phonelm.arch.tensors import TensorShape
from phonelm.formats.gguf_writer import GgufTensor, write_gguf


def read_gguf_config(path: Path | str) -> DecoderConfig:
    """The decoder that a GGUF file holds, as the core understands it; no weights are read.

    The storage order of q and k is no part of the configuration, and factors of RoPE that are tensors stay
    unknown. Raises `ValueError` for another architecture, a missing key, or a feature that the runtime lacks,
    by the key's name, and `OSError` for a file that cannot be read.
    """
    from phonelm import _native

    return DecoderConfig.model_validate_json(_native.describe(str(path)))


def understood(keys: Mapping[str, Any], tensors: Iterable[TensorShape]) -> DecoderConfig:
    """What the core understands of a file with these keys and tensors. Raises `ValueError` as it does."""
    with files.temporary_folder() as folder:
        path = Path(folder) / "outline.gguf"
        write_gguf(path, keys, ((tensor.name, _outline(tensor)) for tensor in tensors))
        return read_gguf_config(path)


def check_written(path: Path, understood: DecoderConfig) -> None:
    """Raise `ValueError` naming what the core understands of a whole file otherwise than of its outline.

    Its tokenizer's vocabulary, for one, goes before the key.
    """
    for difference in differences(read_gguf_config(path), understood):
        raise ValueError(f"the file would be read as a decoder with {difference}, which was not meant")


def _outline(tensor: TensorShape) -> GgufTensor:
    """Of a matrix its rows, which is what a description takes from it."""
    if len(tensor.shape) == 2:
        return np.zeros((tensor.shape[0], 1), np.float16)
    return np.ones(tensor.shape, np.float32)


def differences(
    config: DecoderConfig, found: DecoderConfig, held_by_tensors: frozenset[str] = frozenset()
) -> Iterator[str]:
    """Where two decoders differ, floats beyond float32 aside, as `path = value` of the first.

    `held_by_tensors` are paths below a layer that are not compared. Of layers that differ alike the first is
    named.
    """
    # Equal layers are one object, mostly; each pair is compared once.
    pairs: dict[tuple[int, int], tuple[int, Layer, Layer]] = {}
    for index, (one, other) in enumerate(zip(config.layers, found.layers, strict=True)):
        pairs.setdefault((id(one), id(other)), (index, one, other))
    named = set(held_by_tensors)
    for index, one, other in pairs.values():
        for path, value in _differing(_as_stored(one), _as_stored(other), ""):
            if path not in named:
                named.add(path)
                yield f"layers.{index}.{path} = {value}"
    for path, value in _differing(config, found, ""):
        if not path.startswith("layers"):
            yield f"{path} = {value}"


def _differing(one: Any, other: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    if not isinstance(one, Part) or type(one) is not type(other):
        if not _equal(one, other):
            yield prefix.removesuffix("."), one
        return
    for name in type(one).model_fields:
        yield from _differing(getattr(one, name), getattr(other, name), f"{prefix}{name}.")


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, float) and isinstance(other, float):
        return bool(np.float32(one) == np.float32(other))
    return bool(one == other)


def _as_stored(layer: Layer) -> Layer:
    """The layer without what files round or have no need to tell."""
    mixer, rope = layer.mixer, layer.mixer.rope
    if rope is None:
        return layer
    scaling = None if rope.scaling is None else _as_scaled(rope.scaling)
    fraction = rope.rotated_dims(mixer.head_dim) / mixer.head_dim
    stored = rope.model_copy(update={"scaling": scaling, "fraction": fraction})
    return layer.model_copy(update={"mixer": mixer.model_copy(update={"rope": stored})})


def _as_scaled(scaling: RopeScaling) -> RopeScaling | None:
    """None for a factor of 1; without the factors, which are tensors."""
    if scaling.kind in ("linear", "yarn") and scaling.factor == scaling.magnitude == 1.0:
        return None
    return scaling.model_copy(update={"factors": None, "long_factors": None})
