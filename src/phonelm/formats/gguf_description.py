"""The decoder that a GGUF file holds, as the native core understands it: the only reader of its keys."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from phonelm.arch import DecoderConfig, Layer, Rope, RopeScaling
from phonelm.arch.part import Part


def read_gguf_config(path: Path | str) -> DecoderConfig:
    """The decoder of a file, from its header alone.

    Factors of RoPE that tensors hold are None, and numbers are the shortest decimals that are these in
    float32. Raises `ValueError` for what is no GGUF file or a decoder that the runtime lacks, `OSError` for a
    file that cannot be read.
    """
    from phonelm import _native

    return DecoderConfig.model_validate_json(_native.describe(str(path)))


def check_description(path: Path, config: DecoderConfig) -> None:
    """Raise `ValueError` that names what of a decoder is not in the file that was written of it.

    The scale of attention is left out: where GGUF has no key for it, it is in the weights of a norm.
    """
    found = read_gguf_config(path)
    layers = zip(config.layers, found.layers, strict=False)
    stored = {pair: _stored(*pair) for pair in dict.fromkeys(layers)}
    if config.num_layers == found.num_layers:
        pairs = zip(config.layers, found.layers, strict=True)
        config = config.model_copy(update={"layers": tuple(stored[pair] for pair in pairs)})
    for difference in _differences(config, found, ""):
        raise ValueError(f"GGUF has no keys for this decoder: a file of it says that {difference}")


def _stored(meant: Layer, found: Layer) -> Layer:
    """A layer as a file has it if it has all of it."""
    mixer = meant.mixer
    changes = {"scale": found.mixer.scale, "rope": mixer.rope and _stored_rope(mixer.rope, mixer.head_dim)}
    return meant.model_copy(update={"mixer": mixer.model_copy(update=changes)})


def _stored_rope(rope: Rope, head_dim: int) -> Rope:
    fraction = rope.rotated_dims(head_dim) / head_dim
    scaling = rope.scaling and rope.scaling.model_copy(update={"factors": None, "long_factors": None})
    return rope.model_copy(update={"fraction": fraction, "scaling": None if _is_none(scaling) else scaling})


def _is_none(scaling: RopeScaling | None) -> bool:
    divides = scaling is not None and (scaling.kind in ("factors", "longrope") or scaling.factor != 1.0)
    return not divides and (scaling is None or scaling.magnitude == 1.0)


def _differences(meant: Part, found: Part, prefix: str) -> Iterator[str]:
    for name in type(meant).model_fields:
        yield from _difference(getattr(meant, name), getattr(found, name), prefix + name)


def _difference(meant: Any, found: Any, path: str) -> Iterator[str]:
    if isinstance(meant, Part) and type(meant) is type(found):
        yield from _differences(meant, found, f"{path}.")
    elif path == "layers" and len(meant) == len(found):
        for index, pair in enumerate(zip(meant, found, strict=True)):
            yield from _differences(*pair, f"layers[{index}].")
    elif isinstance(meant, float) and isinstance(found, float):
        if np.float32(meant) != np.float32(found):
            yield f"{path} is {found:g}, not {meant:g}"
    elif meant != found:
        yield f"{path} is {found}, not {meant}"
