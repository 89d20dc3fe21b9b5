"""Objects of JSON schemas, closed: no properties but those named, where a schema leaves others open.

A model under a schema that admits any further property may write properties for ever. llama.cpp's converter
closes them too (`common/json-schema-to-grammar.cpp`); an object of which no property is named stays open, as
there.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

_DECIDED = (
    *("additionalProperties", "patternProperties", "unevaluatedProperties", "propertyNames"),
    *("const", "enum"),
)
"""Keywords by which a schema itself says what further properties there may be."""
_OF_OBJECTS = (*_DECIDED[:4], "properties", "required", "minProperties", "maxProperties")
_LISTS = ("allOf", "anyOf", "oneOf")
_IDENTITIES = ("$id", "id", "$anchor", "$dynamicAnchor", "$schema", "$defs", "definitions", "x-guidance")


def in_place(root: dict[str, Any], node: dict[str, Any]) -> Iterator[Any]:
    """Yield the schemas that hold for the same value as a node: its alternatives and what it refers to."""
    for key in node:
        if key in _LISTS and isinstance(node[key], list):
            yield from node[key]
        elif key == "$ref":
            yield pointed_at(root, node[key])


def pointed_at(root: dict[str, Any], reference: object) -> Any:
    """Return what a reference within the document (`#/$defs/name`) points at; None for others."""
    if not isinstance(reference, str) or not (reference == "#" or reference.startswith("#/")):
        return None
    found: Any = root
    for part in reference.split("/")[1:]:
        key = unquote(part).replace("~1", "/").replace("~0", "~")
        if isinstance(found, dict):
            found = found.get(key)
        elif isinstance(found, list) and key.isdecimal() and int(key) < len(found):
            found = found[int(key)]
        else:
            return None
    return found


class Closing:
    """Closes the objects of one schema.

    Schemas that hold together (the parts of an `allOf`, a `$ref` and what stands beside it) are closed as
    one: each admits what the others name. A definition that is used both so and alone is therefore copied.
    """

    def __init__(self, root: dict[str, Any]) -> None:
        self._root = root
        self._source = copy.deepcopy(root)
        self._copies: dict[str, str] = {}

    def close(self, node: dict[str, Any], merged: bool) -> bool:
        """Close a node, unless it holds together with others that are closed as one.

        Returns whether the schemas that hold in its place do so together.
        """
        own = any(key in node for key in _OF_OBJECTS)
        groups = sum(
            len(node[key]) if key == "allOf" else 1 for key in _LISTS if isinstance(node.get(key), list)
        )
        together = merged or own + groups + ("$ref" in node) > 1
        if not merged:
            self._close(node, together)
        if together and "$ref" in node:
            node["$ref"] = self._open_copy(node["$ref"])
        return together

    def _close(self, node: dict[str, Any], together: bool) -> None:
        nodes = list(self._together(node)) if together else [node]
        named = [one["properties"] for one in nodes if isinstance(one.get("properties"), dict)]
        if not named or any(key in one for one in nodes for key in _DECIDED):
            return
        required = [one["required"] for one in nodes if isinstance(one.get("required"), list)]
        names = [name for group in [*named, *required] for name in group if isinstance(name, str)]
        admitted = dict.fromkeys(names, True)
        least = [one["minProperties"] for one in nodes if isinstance(one.get("minProperties"), int)]
        if max(least, default=0) > len(admitted):
            return
        if together:
            closed = {"properties": admitted, "additionalProperties": False}
            place = next((key for key in _LISTS if key not in node), "allOf")
            node[place] = [*node.get(place, []), closed]
        else:
            node["properties"] = {**admitted, **node["properties"]}
            node["additionalProperties"] = False

    def _together(self, node: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """Yield a node and all that hold in its place; definitions as they were given."""
        waiting: list[Any] = [node]
        seen: set[int] = set()
        while waiting:
            one = waiting.pop()
            if isinstance(one, dict) and id(one) not in seen:
                seen.add(id(one))
                yield one
                waiting += reversed(list(in_place(self._source, one)))

    def _open_copy(self, reference: object) -> object:
        """Return a reference to a copy that is not closed by itself."""
        target = pointed_at(self._source, reference)
        if not isinstance(reference, str) or not isinstance(target, dict):
            return reference
        if reference not in self._copies:
            definitions = self._root.setdefault("$defs", {})
            name = f"open-{len(self._copies)}"
            while name in definitions:
                name += "-"
            self._copies[reference] = f"#/$defs/{name}"
            inside = {key: value for key, value in target.items() if key not in _IDENTITIES}
            definitions[name] = copy.deepcopy(inside)
        return self._copies[reference]
