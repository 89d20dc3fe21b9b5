"""JSON schemas as prepared: numbers to the digit, keywords without effect, closed objects, sizes."""

from __future__ import annotations

import contextlib
import json
import random
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("llguidance")
pytest.importorskip("jsonschema")

from fuzz_grammars import accepted, accepts, written
from phonelm.engine import Grammar

BIG = [2**53 + 1, -(2**53) - 1, 2**63 - 1, -(2**63), 2**63, 2**64 - 1, 2**64, 10**20, 10**400]


def admits(schema: dict[str, Any] | str, *texts: str) -> list[bool]:
    grammar = Grammar.json_schema(schema)
    return [accepts(grammar, text) for text in texts]


def texts_of(schema: dict[str, Any], count: int = 20) -> set[str]:
    grammar = Grammar.json_schema(schema)
    texts = {written(grammar, random.Random(seed)) for seed in range(count)}
    return {text for text in texts if text is not None}


@pytest.mark.parametrize("value", BIG)
@pytest.mark.parametrize("place", ["const", "enum", "nested", "typed"])
def test_values_that_the_engine_would_change_are_refused(value: int, place: str) -> None:
    schemas: dict[str, dict[str, Any]] = {
        "const": {"const": value},
        "enum": {"enum": ["a", value]},
        "nested": {"properties": {"a": {"const": {"b": [value]}}}},
        "typed": {"type": "integer", "const": value},
    }
    for schema in (schemas[place], json.dumps(schemas[place])):
        with pytest.raises(ValueError, match="would be written as another"):
            Grammar.json_schema(schema)


@pytest.mark.parametrize(
    "value", [0, -1, 2**53, -(2**53), 2**60, 2**63 - 1024, -(2**63) + 1024, 0.1, -0.5, 1e-7]
)
def test_values_are_written_as_they_are(value: float) -> None:
    assert {json.loads(text) for text in texts_of({"const": value})} == {value}


@pytest.mark.parametrize(
    "text", ["0.12345678901234567890", "1e400", "9007199254740993.0", "1e99999999999999999999"]
)
def test_digits_that_no_double_has_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="number"):
        Grammar.json_schema(f'{{"const": {text}}}')


@pytest.mark.parametrize("schema", [{"const": float("nan")}, {"minimum": float("inf")}, '{"const": NaN}'])
def test_numbers_that_json_has_not_are_refused(schema: Any) -> None:
    with pytest.raises(ValueError, match="is no JSON"):
        Grammar.json_schema(schema)


@pytest.mark.parametrize("kind", ["integer", "number"])
@pytest.mark.parametrize(
    ("low", "high"),
    [(-(2**63), 2**63 - 1), (-(2**63) + 1, 2**64 - 1), (-1e308, 1.7e308), (0, 2**64), (-(10**40), 0)],
)
def test_bounds_of_64_bits_and_of_doubles(kind: str, low: float, high: float) -> None:
    schema = {"type": kind, "minimum": low, "maximum": high}
    assert all(low <= json.loads(text) <= high for text in texts_of(schema))
    inside = str(max(-(2**63) + 1024, min(2**63 - 1024, int(high))))
    assert admits(schema, inside, "0") == [True, True]


@pytest.mark.parametrize(
    ("schema", "inside", "outside"),
    [
        ({"exclusiveMinimum": 1, "maximum": 1.5}, ["1.2", "1.5"], ["1", "1.0", "1.6"]),
        ({"minimum": -0.5, "exclusiveMaximum": 0}, ["-0.5", "-0.25"], ["0", "-0", "-0.6"]),
        ({"exclusiveMinimum": 0, "maximum": 0.5}, ["0.5", "0.01"], ["0", "0.51"]),
        ({"minimum": 0, "exclusiveMinimum": True}, ["0.5", "3"], ["0", "0.0"]),
        ({"minimum": 0, "exclusiveMinimum": False}, ["0", "3"], ["-1"]),
        ({"minimum": 0.3, "maximum": 0.3}, ["0.3"], ["0.2", "0.4"]),
        ({"minimum": 10**18}, [str(10**18), str(10**18 + 5)], ["1", str(10**18 - 1)]),
        ({"maximum": -(10**18)}, [str(-(10**18) - 7)], ["0", str(-(10**18) + 1)]),
        ({"minimum": 1e-300, "maximum": 1}, ["0.5", "1"], ["0"]),
        ({"multipleOf": 0.1}, ["0.1", "3", "0.3"], ["0.15"]),
    ],
)
def test_bounds_hold(schema: dict[str, Any], inside: list[str], outside: list[str]) -> None:
    schema = {"type": "number", **schema}
    assert admits(schema, *inside, *outside) == [True] * len(inside) + [False] * len(outside)


@settings(max_examples=200, deadline=None)
@given(
    st.fixed_dictionaries(
        {"type": st.sampled_from(["integer", "number"])},
        optional={
            key: st.one_of(
                st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.integers(-9, 9)
            )
            for key in ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
        },
    ),
    st.integers(0, 99),
)
def test_random_bounds_hold_or_are_refused(schema: dict[str, Any], seed: int) -> None:
    with contextlib.suppress(ValueError):
        text = written(Grammar.json_schema(schema), random.Random(seed))
        assert text is None or accepted(schema, text)


@pytest.mark.parametrize("multiple", [0, -1, 2**32, 1e-20, 0.12345678901])
def test_multiples_that_cannot_be_counted_are_refused(multiple: float) -> None:
    with pytest.raises(ValueError, match="multipleOf"):
        Grammar.json_schema({"type": "number", "multipleOf": multiple})


def test_a_common_multiple_of_too_many_digits_is_refused() -> None:
    parts = [{"type": "integer", "multipleOf": multiple} for multiple in (9999, 1000)]
    with pytest.raises(ValueError, match="common multiple"):
        Grammar.json_schema({"allOf": parts})


@pytest.mark.parametrize(
    "idle",
    [
        {"uniqueItems": False},
        {"title": "A", "$comment": "b", "default": [], "examples": [{"minimum": "x"}], "deprecated": True},
        {"minimum": 3, "multipleOf": 0, "pattern": "("},
        {"then": {"minItems": 3}},
        {"if": {"minItems": 3}},
        {"contains": {"const": 1}, "minContains": 0},
        {"unevaluatedItems": True, "propertyNames": {}, "dependentRequired": {"a": []}},
        {"not": False, "$dynamicAnchor": "a", "contentEncoding": "base64"},
        {"x-order": 3, "nullable": True},
    ],
)
def test_keywords_that_ask_for_nothing_are_left_out(idle: dict[str, Any]) -> None:
    schema = {"type": "array", "items": {"enum": ["a", "b"]}, "maxItems": 2, **idle}
    assert admits(schema, "[]", '["a", "b"]', '["a", "a"]', "[1]") == [True, True, True, False]


@pytest.mark.parametrize(
    "demand",
    [
        *(
            {"uniqueItems": True},
            {"not": {"type": "null"}},
            {"contains": {"const": 1}},
            {"if": {}, "then": False},
        ),
        {"unevaluatedItems": False},
    ],
)
def test_keywords_that_ask_for_something_unsupported_are_refused(demand: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="Unimplemented keys"):
        Grammar.json_schema({"type": "array", **demand})


A = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
B = {"type": "object", "properties": {"b": {"type": "integer"}}}
REFERRED = {"$defs": {"A": A}}


@pytest.mark.parametrize(
    ("schema", "inside", "outside"),
    [
        (A, ['{"a": 1}'], ['{"a": 1, "b": 1}', "{}"]),
        (A | {"additionalProperties": True}, ['{"a": 1, "b": "x"}'], ["{}"]),
        (A | {"additionalProperties": {"type": "null"}}, ['{"a": 1, "b": null}'], ['{"a": 1, "b": 1}']),
        (A | {"required": ["a", "z"]}, ['{"a": 1, "z": []}'], ['{"a": 1}', '{"a": 1, "z": 1, "y": 1}']),
        ({"type": "object"}, ["{}", '{"x": {"y": 1}}'], ["[]"]),
        ({"type": "object", "properties": {}}, ["{}"], ['{"x": 1}']),
        ({"allOf": [A, B]}, ['{"a": 1}', '{"a": 1, "b": 2}'], ['{"a": 1, "c": 1}', '{"b": 1}']),
        ({**B, "allOf": [A]}, ['{"b": 1, "a": 1}'], ['{"a": 1, "c": 1}']),
        ({"anyOf": [A, B]}, ['{"a": 1}', '{"b": 1}', "{}"], ['{"a": 1, "b": 2}', '{"c": 1}']),
        ({"$ref": "#/$defs/A", **REFERRED}, ['{"a": 1}'], ['{"a": 1, "b": 1}']),
        ({"$ref": "#/$defs/A", **B, **REFERRED}, ['{"a": 1, "b": 1}'], ['{"a": 1, "c": 1}']),
        (
            {
                "properties": {"x": {"$ref": "#/$defs/A"}, "y": {"allOf": [{"$ref": "#/$defs/A"}, B]}},
                **REFERRED,
            },
            ['{"x": {"a": 1}, "y": {"a": 1, "b": 1}}', "{}"],
            ['{"x": {"a": 1, "b": 1}}', '{"y": {"a": 1, "c": 1}}', '{"z": 1}'],
        ),
        (
            {"type": "object", "properties": {"next": {"$ref": "#"}}},
            ["{}", '{"next": {"next": {}}}'],
            ['{"next": {"x": 1}}'],
        ),
    ],
)
def test_objects_have_the_properties_that_are_named(
    schema: dict[str, Any], inside: list[str], outside: list[str]
) -> None:
    assert admits(schema, *inside, *outside) == [True] * len(inside) + [False] * len(outside)


@pytest.mark.parametrize(
    "further",
    [{"additionalProperties": {"type": "string"}}, {"patternProperties": {"^y": {"type": "string"}}}],
)
def test_given_names_are_not_written_in_another_way(further: dict[str, Any]) -> None:
    schema = {"type": "object", "properties": {"x": {"type": "integer"}}, **further}
    texts = '{"x": 1, "y": "\\n"}', '{"x": 1, "x": "a"}', '{"x": 1, "\\u0078": "a"}'
    assert admits(schema, *texts) == [True, False, False]
    assert admits({"const": "\0"}, '"\\u0000"') == [True]


def test_alternatives_exclude_each_other_as_the_schema_has_them() -> None:
    kinds = [{**A, "properties": {"a": {"const": name}, name: {"type": "null"}}} for name in ("x", "y")]
    assert admits({"oneOf": kinds}, '{"a": "x", "x": null}', '{"a": "x", "y": null}') == [True, False]
    with pytest.raises(ValueError, match="oneOf"):
        Grammar.json_schema({"oneOf": [A, B]})


@pytest.mark.parametrize(
    ("key", "message"),
    [("minItems", "above 2000"), ("minLength", "above 100000"), ("minProperties", "names may repeat")],
)
def test_sizes_that_exhaust_the_engine_are_refused(key: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Grammar.json_schema({key: 10**9})


def test_great_maxima_are_followed() -> None:
    schema = {"type": "array", "items": {"type": "string", "maxLength": 2**40}, "maxItems": 2**31 - 1}
    assert admits(schema, json.dumps(["a" * 300] * 5)) == [True]


@pytest.mark.parametrize("levels", [200, 10**3, 10**5])
def test_deep_nesting_is_refused(levels: int) -> None:
    text = '{"items": ' * levels + "true" + "}" * levels
    with pytest.raises(ValueError, match="nested more than 100 deep"):
        Grammar.json_schema(text)
    schema: dict[str, Any] = {}
    for _ in range(levels):
        schema = {"items": schema}
    with pytest.raises(ValueError, match="nested more than 100 deep"):
        Grammar.json_schema(schema)


def test_long_chains_of_references_are_refused() -> None:
    chain = {f"d{place}": {"items": {"$ref": f"#/$defs/d{place + 1}"}} for place in range(10**4)}
    with pytest.raises(ValueError, match="references lead through"):
        Grammar.json_schema({"$ref": "#/$defs/d0", "$defs": {**chain, "d10000": True}})


@pytest.mark.parametrize("schema", [{"a": {1: 2}}, {"const": {1, 2}}, {"const": b"a"}])
def test_what_json_has_not_is_refused(schema: Any) -> None:
    with pytest.raises(ValueError, match=r"give texts|which JSON has not"):
        Grammar.json_schema(schema)


def test_schemas_within_lark_are_prepared_too() -> None:
    lark = 'start: "%json {" %json {"const": 9007199254740993} // %json {\n'
    with pytest.raises(ValueError, match="would be written as another"):
        Grammar.lark(lark)
    closed = Grammar.lark(f'start: "%json {{" %json {json.dumps(A)} "x" // %json {{\n')
    assert accepts(closed, '%json {{"a": 1}x')
    assert not accepts(closed, '%json {{"a": 1, "b": 1}x')


def test_no_schema_ends_the_process() -> None:
    code = """
import phonelm
for schema in ('{"const": -9223372036854775808}', '{"minimum": -9223372036854775808}', '{"items":' * 90000,
               '{"allOf":[{"const":-9223372036854775808}]}', '{"enum":[-9.223372036854775808e18]}'):
    try:
        phonelm.Grammar.json_schema(schema)
    except ValueError:
        pass
print("alive")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "alive\n", done.stderr
