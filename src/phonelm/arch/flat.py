"""A decoder described by flat names, as calls and older files write it, into its parts.

`num_layers`, `num_heads`, `norm="layernorm"`, `rope_theta`, ... describe all layers at once; a name in
`BY_LAYER` takes one value, or a tuple with one per layer.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

BY_LAYER = {
    "num_heads": "mixer.num_heads",
    "num_kv_heads": "mixer.num_kv_heads",
    "head_dim": "mixer.head_dim",
    "attention_scale": "mixer.scale",
    "qk_norm": "mixer.qk_norm",
    "intermediate_size": "ffn.intermediate_size",
    "activation": "ffn.activation",
    "parallel_residual": "residual.parallel",
    "shared_norm": "residual.shared_norm",
    "post_norm": "residual.post_norm",
}
OUTSIDE = {
    "scale_embedding": "embedding.scaled",
    "embedding_norm": "embedding.norm",
    "embedding_size": "embedding.size",
    "learned_position_offset": "embedding.position_offset",
    "tie_embeddings": "head.tied",
    "head_bias": "head.bias",
    "final_norm": "head.norm",
}
ROPE = {
    "rope_theta": ("theta", 10000.0),
    "rope_fraction": ("fraction", 1.0),
    "rope_interleaved": ("interleaved", False),
    "rope_scaling": ("scaling", None),
    "rope_table": ("table", "float"),
}
"""Fields of `Rope`, and the value that may stand where nothing is rotated."""
_WINDOW = ("sliding_window", "sliding_layers", "sliding_rope_theta")
_SPECIAL = ("position", "ffn", "bias", "fused_projections", "rope_layers", "norm_eps", *_WINDOW)
_OF_LAYERS = {"num_layers", "norm", *BY_LAYER, *ROPE, *_SPECIAL}
FLAT_NAMES = _OF_LAYERS | set(OUTSIDE)
_POSITIONS = ("rope", "learned", "alibi", "none")
_BIASES = {
    "none": ("none", False),
    "qkv": ("qkv", False),
    "attention": ("all", False),
    "ffn": ("none", True),
    "all": ("all", True),
}
"""Of attention, and whether the FFN has them."""


def nested(document: Mapping[str, Any]) -> dict[str, Any]:
    """The document with its flat names turned into parts.

    Raises `ValueError` for flat and nested names of the same thing, and for values that fit no part.
    """
    values, rest = _split(document)
    if not values:
        return rest
    _refuse_mixed(values, rest)
    if not values.keys() & _OF_LAYERS:
        return _applied(rest, values)
    if not isinstance(values.get("num_layers"), int) or values["num_layers"] < 1:
        raise ValueError(f"num_layers is {values.get('num_layers')}; it must be greater than 0")
    blank: dict[str, Any] = {"mixer": {"rope": {}}, "ffn": {}, "norm": {}, "residual": {}}
    layers = [deepcopy(blank) for _ in range(values["num_layers"])]
    return _applied(rest | {"layers": layers, "norm": {}}, values)


def updated(config: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a decoder with changes by nested or flat names."""
    values, rest = _split(changes)
    _refuse_mixed(values, rest)
    document = {**config, **rest}
    if not values:
        return document
    if values.keys() & _OF_LAYERS:
        document["norm"] = _dump(document["norm"])
        layers = [_dump(layer) for layer in document["layers"]]
        document["layers"] = _resized(layers, values.get("num_layers", len(layers)))
    return _applied(document, values)


def _split(document: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Flat names, and all else; a norm is flat where it is a name."""
    flat = {
        name: value
        for name, value in document.items()
        if name in FLAT_NAMES and (name != "norm" or isinstance(value, str))
    }
    return flat, {name: value for name, value in document.items() if name not in flat}


def _refuse_mixed(values: Mapping[str, Any], rest: Mapping[str, Any]) -> None:
    for name in values:
        parts: tuple[str, ...] = ("layers", "norm") if name in _OF_LAYERS else (OUTSIDE[name].split(".")[0],)
        parts += ("embedding",) if name == "position" else ()
        for part in parts:
            if part in rest:
                raise ValueError(f"{name} and {part} describe the same thing; give one of them")


def _dump(part: Any) -> dict[str, Any]:
    return dict(part) if isinstance(part, dict) else part.model_dump()


def _resized(layers: list[dict[str, Any]], count: int) -> list[dict[str, Any]]:
    if count == len(layers):
        return layers
    if any(layer != layers[0] for layer in layers):
        raise ValueError("the layers differ; give them as `layers` to change their number")
    return [deepcopy(layers[0]) for _ in range(count)]


def _applied(document: dict[str, Any], values: dict[str, Any]) -> dict[str, Any]:
    document = dict(document)
    for name in ("embedding", "head"):
        document[name] = _dump(document.get(name, {}))
    layers: list[dict[str, Any]] = document["layers"] if values.keys() & _OF_LAYERS else []
    for name, path in OUTSIDE.items():
        if name in values:
            _put(document, path, values[name])
    for name, path in BY_LAYER.items():
        if name in values:
            for layer, value in zip(layers, _per_layer(name, values[name], len(layers)), strict=True):
                _put(layer, path, value)
    _put_norm(document, layers, values)
    _put_ffn_kind(layers, values)
    _put_positions(document, layers, values)
    _put_windows(layers, values)
    if layers:
        document["layers"] = _run_lengths(layers)
    return document


def _put(document: dict[str, Any], path: str, value: Any) -> None:
    part, name = path.split(".")
    document[part][name] = value


def _per_layer(name: str, value: Any, num_layers: int) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        return (value,) * num_layers
    if len(value) != num_layers:
        raise ValueError(f"{name} has {len(value)} entries for {num_layers} layers")
    return tuple(value)


def _put_norm(document: dict[str, Any], layers: list[dict[str, Any]], values: Mapping[str, Any]) -> None:
    for name, field in (("norm", "kind"), ("norm_eps", "eps")):
        if name in values:
            for owner in (document, *layers):
                owner["norm"][field] = values[name]


def _put_ffn_kind(layers: list[dict[str, Any]], values: Mapping[str, Any]) -> None:
    if "ffn" in values and values["ffn"] not in ("gated", "plain"):
        raise ValueError(f"ffn is {values['ffn']!r}; choose gated or plain")
    if "bias" in values and values["bias"] not in _BIASES:
        raise ValueError(f"bias is {values['bias']!r}; choose one of {', '.join(_BIASES)}")
    for layer in layers:
        mixer, ffn = layer["mixer"], layer["ffn"]
        if "ffn" in values:
            ffn["gated"] = values["ffn"] == "gated"
        if "bias" in values:
            mixer["bias"], ffn["bias"] = _BIASES[values["bias"]]
        if "fused_projections" in values:
            mixer["fused"] = values["fused_projections"]
            ffn["fused"] = values["fused_projections"] and ffn.get("gated", True)


def _put_positions(document: dict[str, Any], layers: list[dict[str, Any]], values: Mapping[str, Any]) -> None:
    if (position := values.get("position")) is not None:
        if position not in _POSITIONS:
            raise ValueError(f"position is {position!r}; choose one of {', '.join(_POSITIONS)}")
        document["embedding"]["learned_positions"] = position == "learned"
        for layer in layers:
            layer["mixer"]["alibi"] = position == "alibi"
            layer["mixer"]["rope"] = (layer["mixer"].get("rope") or {}) if position == "rope" else None
    rotating = [layer["mixer"]["rope"] for layer in layers if layer["mixer"].get("rope") is not None]
    for name, (field, unused) in ROPE.items():
        if name not in values:
            continue
        if not rotating and values[name] != unused:
            raise ValueError(f"{name} needs rotary positions")
        for rope in rotating:
            rope[field] = values[name]
    if (flags := values.get("rope_layers")) is not None:
        for layer, rotates in zip(layers, _per_layer("rope_layers", flags, len(layers)), strict=True):
            if rotates and layer["mixer"]["rope"] is None:
                raise ValueError("rope_layers needs rotary positions")
            layer["mixer"]["rope"] = layer["mixer"]["rope"] if rotates else None


def _put_windows(layers: list[dict[str, Any]], values: Mapping[str, Any]) -> None:
    window, flags, theta = (values.get(name) for name in _WINDOW)
    if "sliding_window" not in values and flags is None and theta is None:
        return
    if window is None and (flags is not None or theta is not None):
        raise ValueError("sliding_layers and sliding_rope_theta need sliding_window")
    flags = _per_layer("sliding_layers", True if flags is None else flags, len(layers))
    for layer, has_window in zip(layers, flags, strict=True):
        layer["mixer"]["window"] = window if has_window else None
        rope = layer["mixer"].get("rope")
        if has_window and theta is not None and rope is not None:
            layer["mixer"]["rope"] = {**rope, "theta": theta, "scaling": None}


def _run_lengths(layers: list[dict[str, Any]]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for layer in layers:
        if found and {**layer, "repeat": found[-1]["repeat"]} == found[-1]:
            found[-1]["repeat"] += 1
        else:
            found.append({**layer, "repeat": 1})
    return found
