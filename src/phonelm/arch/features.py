"""The features of decoders, their neutral values, and what a consumer of a `DecoderConfig` supports.

Features are the fields of the parts; a field's default is its neutral value. Sizes have none.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, get_args

from pydantic_core import PydanticUndefined

from phonelm.arch.config import DecoderConfig
from phonelm.arch.part import SIZE, Part


class _Any:
    def __repr__(self) -> str:
        return "ANY"


ANY: Final = _Any()
"""Every value of a feature, or every feature of a part."""


def neutral_values() -> dict[str, Any]:
    """All features by dotted path, with their neutral values; None for a kind that has no default."""
    return dict(_neutral(DecoderConfig, ""))


def _neutral(part: type[Part], prefix: str) -> Iterator[tuple[str, Any]]:
    for name, field in part.model_fields.items():
        if SIZE in field.metadata:
            continue
        inner = list(_parts_in(field.annotation))
        if not inner or not field.is_required():
            yield prefix + name, None if field.default is PydanticUndefined else field.default
        for kind in inner:
            yield from _neutral(kind, f"{prefix}{name}.")


def _parts_in(annotation: Any) -> Iterator[type[Part]]:
    if isinstance(annotation, type) and issubclass(annotation, Part):
        yield annotation
    for argument in get_args(annotation):
        yield from _parts_in(argument)


def features(config: DecoderConfig) -> dict[str, tuple[Any, ...]]:
    """The values away from neutral by dotted path (`layers.mixer.rope.theta`), over all layers."""
    found: dict[str, tuple[Any, ...]] = {}
    for path, value in _away(config, ""):
        if value not in found.setdefault(path, ()):
            found[path] += (value,)
    return found


def _away(part: Part, prefix: str) -> Iterator[tuple[str, Any]]:
    for name, field in type(part).model_fields.items():
        value = getattr(part, name)
        if SIZE in field.metadata:
            continue
        if isinstance(value, Part):
            yield from _away(value, f"{prefix}{name}.")
        elif isinstance(value, tuple) and value and isinstance(value[0], Part):
            for item in dict.fromkeys(value):
                yield from _away(item, f"{prefix}{name}.")
        elif field.default is PydanticUndefined or value != field.default:
            yield prefix + name, value


@dataclass(frozen=True)
class Support:
    """What a consumer of decoders supports beyond neutral values.

    `allows` maps paths of features or parts to the values allowed, or to `ANY`; the longest path that holds a
    feature decides. `uniform`: all layers must be equal. `one_norm`: the norm outside the layers must be
    theirs.
    """

    consumer: str
    """In words, for messages: "the torch model"."""
    allows: Mapping[str, Collection[Any] | _Any]
    uniform: bool = True
    one_norm: bool = True

    def __post_init__(self) -> None:
        known = neutral_values()
        prefixes = {path[:i] for path in known for i, c in enumerate(path) if c == "."}
        for path in self.allows:
            assert path in known or path in prefixes, f"{path} is no feature of a decoder"

    def lacking(self, config: DecoderConfig) -> Iterator[str]:
        """Everything in a decoder that the consumer does not support, as `path = value`."""
        for path, values in features(config).items():
            for value in values:
                if not self._holds(path, value):
                    yield f"{path} = {value}"
        if self.uniform and config.uniform_layer is None:
            yield "layers = different ones"
        if self.one_norm and any(layer.norm != config.norm for layer in config.layers):
            yield f"norm = {config.norm.kind} with eps {config.norm.eps:g}, another than that of the layers"

    def refuse(self, config: DecoderConfig) -> None:
        """Raise `ValueError` naming the first feature that the consumer does not support, and its value."""
        for feature in self.lacking(config):
            raise ValueError(f"{self.consumer} has no decoders with {feature}")

    def _holds(self, path: str, value: Any) -> bool:
        while path:
            if path in self.allows:
                allowed = self.allows[path]
                return isinstance(allowed, _Any) or value in allowed
            path = path.rpartition(".")[0]
        return False
