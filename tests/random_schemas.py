"""Seeded random JSON schemas: the kinds that generators, llama.cpp's tests and JSON Schema's test suite have,
with numbers at the edges of what programs hold, keywords that say nothing, and mistakes."""

from __future__ import annotations

import random
from typing import Any

INTEGERS = [
    0,
    1,
    -1,
    2,
    7,
    10,
    99,
    100,
    -100,
    255,
    1000,
    2**31 - 1,
    -(2**31),
    2**32,
    2**53 - 1,
    2**53,
    2**53 + 1,
]
INTEGERS += [
    -(2**53) - 1,
    10**18,
    -(10**18),
    2**60,
    2**63 - 1025,
    2**63 - 1024,
    2**63 - 1,
    2**63,
    2**64 - 1,
    2**64,
]
INTEGERS += [-(2**63) + 1, -(2**63), -(2**63) - 1, 10**20, -(10**25), 10**40]
FRACTIONS = [
    0.0,
    -0.0,
    0.1,
    0.25,
    0.3,
    0.5,
    -0.5,
    1.0,
    1.5,
    2.25,
    -3.75,
    1e-3,
    1e-7,
    1e-15,
    1e-16,
    5e-324,
    1e-300,
]
FRACTIONS += [123.456, 99.99, -0.001, 1e3, 1e15, 1e16, 1e17, 1e18, 1e19, 1e22, 1e100, 1e308, -1e308, 1.7e308]
FRACTIONS += [0.1 + 0.2, 1 / 3, 2 / 3, 9007199254740993.0, 9.2e18, -9.3e18, 3.0000000000000004]
TEXTS = [
    "",
    "a",
    "b",
    "ab",
    "Zürich",
    '"',
    "\\",
    "\n",
    "\u2028",
    "😀",
    "/",
    "a b",
    "$ref",
    "null",
    "\x7f",
    "\x00",
]
PATTERNS = [
    "^a+$",
    "a",
    "^[a-z]{2,4}$",
    "^(x|yy)?$",
    r"^\d{3}-\d{4}$",
    "[^b]",
    "^.{1,3}$",
    "(",
    "^é+$",
    "^a(?=b)",
]
FORMATS = ["date", "time", "date-time", "uuid", "ipv4", "email", "odd", "hostname", "duration"]
NAMES = ["a", "b", "c", "id", "name", "long name", 'q"q', "ü", "type", "minimum", "", "$ref", "x/y", "t~t"]
TYPES = ["null", "boolean", "integer", "number", "string", "array", "object"]
IDLE: dict[str, list[Any]] = {
    "title": ["T", 5],
    "description": ["text"],
    "$comment": ["c"],
    "default": [None, 1e308, {"minimum": "x"}],
    "examples": [[1, "a"], 5],
    "deprecated": [True],
    "readOnly": [True],
    "uniqueItems": [False],
    "unevaluatedProperties": [True, {}],
    "propertyNames": [True, {}],
    "minProperties": [0],
    "dependentRequired": [{}, {"a": []}],
    "then": [{"type": "string"}, True],
    "contentMediaType": ["text/plain"],
    "x-order": [3, {"const": 9007199254740993}],
    "nullable": [False],
}
DEMANDS: dict[str, list[Any]] = {
    "uniqueItems": [True],
    "not": [{}, {"type": "string"}, False],
    "contains": [{"type": "integer"}],
    "propertyNames": [{"pattern": "^a"}],
    "minProperties": [1, 2, 3],
    "maxProperties": [0, 1, 2],
    "patternProperties": [{"^x": {"type": "integer"}}, {"a|b": {"type": "null"}, "^b": True}, {}],
    "additionalItems": [False, {"type": "null"}],
    "dependentRequired": [{"a": ["b"]}],
    "unevaluatedProperties": [False],
    "if": [{"type": "string"}],
    "else": [{"minLength": 1}],
}


def number(rng: random.Random) -> Any:
    if rng.random() < 0.3:
        return rng.randint(-20, 20)
    if rng.random() < 0.3:
        return round(rng.uniform(-20, 20), rng.randint(0, 4))
    return rng.choice(INTEGERS if rng.random() < 0.6 else FRACTIONS)


def value(rng: random.Random, depth: int = 2) -> Any:
    kind = rng.randrange(7 if depth else 5)
    if kind == 5:
        return [value(rng, depth - 1) for _ in range(rng.randint(0, 2))]
    if kind == 6:
        return {name: value(rng, depth - 1) for name in rng.sample(NAMES, rng.randint(0, 2))}
    return [None, rng.random() < 0.5, number(rng), number(rng), rng.choice(TEXTS)][kind]


def numeric(rng: random.Random) -> dict[str, Any]:
    keys = ["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"]
    node: dict[str, Any] = {"type": rng.choice(["integer", "number"])}
    for key in rng.sample(keys, rng.randint(0, 3)):
        node[key] = number(rng) if rng.random() < 0.95 else rng.choice(["1", None])
    if rng.random() < 0.25:
        node["multipleOf"] = rng.choice(
            [1, 2, 3, 7, 10, 0.1, 0.5, 0.25, 0.01, 1.5, 100, 2**31, 2**33, 0, -1, 1e-10]
        )
    return node


def string(rng: random.Random) -> dict[str, Any]:
    node: dict[str, Any] = {"type": "string"}
    if rng.random() < 0.5:
        node["maxLength"] = rng.choice([0, 1, 2, 5, 20, 2.0, 10**6, 2**40])
    if rng.random() < 0.3:
        node["minLength"] = rng.choice([0, 1, 2, 4, 10**7])
    if rng.random() < 0.2:
        node["pattern"] = rng.choice(PATTERNS)
    if rng.random() < 0.1:
        node["format"] = rng.choice(FORMATS)
    return node


def array(rng: random.Random, depth: int) -> dict[str, Any]:
    node: dict[str, Any] = {"type": "array"}
    if rng.random() < 0.8:
        node["items"] = schema(rng, depth - 1)
    if rng.random() < 0.3:
        node["prefixItems"] = [schema(rng, depth - 1) for _ in range(rng.randint(0, 2))]
    if rng.random() < 0.3:
        node["minItems"] = rng.choice([0, 1, 2, 3, 10**9])
    if rng.random() < 0.7:
        node["maxItems"] = rng.choice([0, 1, 2, 3, 10**5, 2**40])
    return node


def obj(rng: random.Random, depth: int) -> dict[str, Any]:
    names = rng.sample(NAMES, rng.randint(0, 3))
    node: dict[str, Any] = {"type": "object", "properties": {name: schema(rng, depth - 1) for name in names}}
    if rng.random() < 0.7:
        node["required"] = rng.sample(names, rng.randint(0, len(names))) + rng.choice([[], [], [], ["b"]])
    if rng.random() < 0.3:
        node["additionalProperties"] = rng.choice([False, False, True, schema(rng, 0)])
    if rng.random() < 0.1:
        del node["properties"]
    if rng.random() < 0.15:
        del node["type"]
    return node


def combined(rng: random.Random, depth: int) -> dict[str, Any]:
    key = rng.choice(["anyOf", "anyOf", "oneOf", "allOf"])
    node: dict[str, Any] = {key: [schema(rng, depth - 1) for _ in range(rng.randint(1, 3))]}
    if rng.random() < 0.2:
        node |= rng.choice([numeric, string])(rng)
    if rng.random() < 0.2:
        node |= obj(rng, depth)
    return node


def schema(rng: random.Random, depth: int = 2) -> Any:
    """A schema as a subschema may be: mostly an object, seldom true or false."""
    roll = rng.random()
    if roll < 0.02:
        return rng.choice([True, False, {}])
    makers = [numeric, numeric, string]
    node: dict[str, Any]
    if depth > 0 and roll < 0.65:
        node = rng.choice([array, obj, obj, combined])(rng, depth)
    elif roll < 0.8:
        node = rng.choice(makers)(rng)
    elif roll < 0.9:
        node = {"enum": [value(rng) for _ in range(rng.randint(1, 3))]}
    elif roll < 0.95:
        node = {"const": value(rng)}
    else:
        node = {"type": rng.choice([*TYPES, rng.sample(TYPES, 2), "strin"])}
    if rng.random() < 0.05:
        node["$ref"] = rng.choice(
            ["#", "#/$defs/one", "#/$defs/two", "#/$defs/none", "#/properties/a", "other.json"]
        )
    if rng.random() < 0.15:
        key = rng.choice(list(IDLE))
        node[key] = rng.choice(IDLE[key])
    if rng.random() < 0.06:
        key = rng.choice(list(DEMANDS))
        node[key] = rng.choice(DEMANDS[key])
    if rng.random() < 0.01:
        key = rng.choice([*node, "minimum", "items", "properties", "required", "maxItems", "allOf"])
        node[key] = rng.choice([None, -1, 1.5, "x", [], {}, [1], {"a": 1}])
    if rng.random() < 0.1:
        items = list(node.items())
        rng.shuffle(items)
        node = dict(items)
    return node


def whole_schema(rng: random.Random) -> dict[str, Any]:
    """A schema with definitions, which may lead in circles."""
    node = schema(rng, rng.randint(0, 3))
    root: dict[str, Any] = node if isinstance(node, dict) else {"allOf": [node]}
    if rng.random() < 0.3 or "$ref" in str(root):
        root["$defs"] = {name: schema(rng, 2) for name in ("one", "two")}
    if rng.random() < 0.05:
        root["$schema"] = rng.choice(
            ["http://json-schema.org/draft-07/schema#", "https://json-schema.org/draft/2020-12/schema", "odd"]
        )
    return root
