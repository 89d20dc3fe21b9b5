"""Keywords of JSON schemas that ask for nothing: the grammar engine, llguidance, refuses some of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from phonelm.engine.grammar_numbers import is_number

_ANNOTATIONS = (
    *("$comment", "title", "description", "default", "examples", "deprecated", "readOnly", "writeOnly"),
    *("contentMediaType", "contentEncoding", "contentSchema", "$vocabulary", "$recursiveAnchor"),
)
_KEYWORDS_OF = {
    "number": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
    "string": ("minLength", "maxLength", "pattern"),
    "array": (
        *("items", "prefixItems", "additionalItems", "minItems", "maxItems", "uniqueItems"),
        *("contains", "minContains", "maxContains", "unevaluatedItems"),
    ),
    "object": (
        *(
            "properties",
            "patternProperties",
            "additionalProperties",
            "propertyNames",
            "unevaluatedProperties",
        ),
        *("required", "minProperties", "maxProperties"),
        *("dependentRequired", "dependentSchemas", "dependencies"),
    ),
}
"""Keywords that hold for values of one type only."""


def leave_out(node: dict[str, Any]) -> None:
    """Remove the keywords that say nothing about a value, and those of types that it cannot have."""
    types = node.get("type")
    types = [types] if isinstance(types, str) else types
    if isinstance(types, list):
        for kind, keywords in _KEYWORDS_OF.items():
            if kind not in types and not (kind == "number" and "integer" in types):
                for key in keywords:
                    node.pop(key, None)
    for key in _ANNOTATIONS:
        node.pop(key, None)
    if "$dynamicAnchor" in node and "$anchor" not in node:
        # Without `$dynamicRef`, which the engine refuses, it is a plain anchor.
        node["$anchor"] = node.pop("$dynamicAnchor")
    if _is_anything(node.get("unevaluatedProperties")):
        node.setdefault("additionalProperties", True)
    for key, is_idle in _IDLE.items():
        if key in node and is_idle(node):
            del node[key]


def _is_anything(schema: object) -> bool:
    return schema is True or schema == {}


def _demands_nothing(of_names: object) -> bool:
    """Whether a mapping of names to schemas, or to lists of names, asks for nothing."""
    return isinstance(of_names, dict) and all(one == [] or _is_anything(one) for one in of_names.values())


_IDLE: dict[str, Callable[[dict[str, Any]], bool]] = {
    "uniqueItems": lambda node: node["uniqueItems"] is False,
    "not": lambda node: node["not"] is False,
    "propertyNames": lambda node: _is_anything(node["propertyNames"]),
    "unevaluatedItems": lambda node: _is_anything(node["unevaluatedItems"]),
    "unevaluatedProperties": lambda node: _is_anything(node["unevaluatedProperties"]),
    "dependentRequired": lambda node: _demands_nothing(node["dependentRequired"]),
    "dependentSchemas": lambda node: _demands_nothing(node["dependentSchemas"]),
    "dependencies": lambda node: _demands_nothing(node["dependencies"]),
    "then": lambda node: "if" not in node or _is_anything(node["then"]),
    "else": lambda node: "if" not in node or _is_anything(node["else"]),
    "if": lambda node: "then" not in node and "else" not in node,
    "additionalItems": lambda node: not isinstance(node.get("items"), list),
    "contains": lambda node: node.get("minContains") == 0 and "maxContains" not in node,
    "minContains": lambda node: "contains" not in node,
    "maxContains": lambda node: "contains" not in node,
    "minProperties": lambda node: _is_met(node),
}
"""Keywords that the engine does not support, with the condition under which they ask for nothing."""


def _is_met(node: dict[str, Any]) -> bool:
    """Whether what is required makes up for the least number of properties."""
    least, required = node["minProperties"], node.get("required")
    return is_number(least) and isinstance(required, list) and 0 <= least <= len(set(map(str, required)))
