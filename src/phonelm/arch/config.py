"""The central type: one frozen description of a decoder-only model, made of parts.

The same object drives the torch model, the native graph, the cost model and the GGUF metadata.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from pydantic import Field, SerializationInfo, field_serializer, field_validator, model_validator

from phonelm.arch import flat
from phonelm.arch.ends import Embedding, Head
from phonelm.arch.layer import Layer
from phonelm.arch.norm import Norm
from phonelm.arch.part import Part, Size


class DecoderConfig(Part):
    """Shape and kind of a decoder-only model.

    Takes the flat names of `phonelm.arch.flat` too (`num_layers=30, num_heads=9, norm="layernorm"`); is
    written in parts, equal layers that follow each other as one with `repeat`. Raises `ValueError`
    (pydantic's `ValidationError`) for a shape no model can have.
    """

    vocab_size: Size
    hidden_size: Size
    context_length: Size = 2048
    embedding: Embedding = Embedding()
    layers: tuple[Layer, ...] = Field(min_length=1)
    norm: Norm = Norm()
    """Of the final norm and of the embedding's."""
    head: Head = Head()
    shared_ffn: bool = False
    """One FFN shared by all layers (MobiLlama-0.5B)."""

    @model_validator(mode="before")
    @classmethod
    def _from_flat(cls, document: Any) -> Any:
        return flat.nested(document) if isinstance(document, dict) else document

    @field_validator("layers", mode="before")
    @classmethod
    def _repeated(cls, layers: Any) -> Any:
        if not isinstance(layers, list | tuple):
            return layers
        return tuple(layer for entry in layers for layer in _expanded(entry))

    @field_serializer("layers")
    def _run_lengths(self, layers: tuple[Layer, ...], info: SerializationInfo) -> list[dict[str, Any]]:
        mode = "json" if info.mode == "json" else "python"
        return [
            ({"repeat": count} if count > 1 else {}) | layer.model_dump(mode=mode)
            for layer, count in runs(layers)
        ]

    @model_validator(mode="after")
    def _consistent(self) -> DecoderConfig:
        if self.shared_ffn and any(layer.ffn != self.layers[0].ffn for layer in self.layers):
            raise ValueError("shared_ffn needs the same ffn in all layers")
        return self

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """A copy with some fields changed, by their own or by flat names; validated."""
        if not update:
            return super().model_copy(deep=deep)
        return type(self).model_validate(flat.updated(dict(self), update))

    @property
    def num_layers(self) -> int:
        """Number of layers."""
        return len(self.layers)

    @property
    def uniform_layer(self) -> Layer | None:
        """The layer that all layers are equal to; None where they differ."""
        first = self.layers[0]
        return first if all(layer is first or layer == first for layer in self.layers) else None


def runs(layers: tuple[Layer, ...]) -> list[tuple[Layer, int]]:
    """Equal layers that follow each other, and how many they are."""
    found: list[tuple[Layer, int]] = []
    for layer in layers:
        if found and (layer is found[-1][0] or layer == found[-1][0]):
            found[-1] = (layer, found[-1][1] + 1)
        else:
            found.append((layer, 1))
    return found


def _expanded(entry: Any) -> tuple[Any, ...]:
    if not isinstance(entry, dict):
        return (entry,)
    document = dict(entry)
    count = document.pop("repeat", 1)
    if not isinstance(count, int) or count < 1:
        raise ValueError(f"repeat is {count!r}; give the number of layers, 1 or more")
    return (Layer.model_validate(document),) * count
