"""Grammars: what is made follows them, what does not compile is refused."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

pytest.importorskip("llguidance")
jsonschema = pytest.importorskip("jsonschema")

from phonelm.engine import Grammar, Model  # noqa: E402

PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 20},
        "age": {"type": "integer", "minimum": 0, "maximum": 150},
        "tags": {"type": "array", "items": {"enum": ["baker", "runner", "poet"]}, "maxItems": 3},
    },
    "required": ["name", "age", "tags"],
    "additionalProperties": False,
}
SUMS = """
# sums of small numbers
root  ::= term ("+" term)* "=" [0-9]{1,3}
term  ::= number | "(" root ")"
number ::= [1-9] [0-9]?
"""


def bounded(depth: int) -> st.SearchStrategy[dict[str, Any]]:
    """Schemas whose texts are short: even a random model comes to their end."""
    leaves = st.one_of(
        st.just({"type": "boolean"}),
        st.just({"type": "null"}),
        st.builds(
            lambda low, size: {"type": "integer", "minimum": low, "maximum": low + size},
            st.integers(-99, 99),
            st.integers(0, 99),
        ),
        st.builds(lambda most: {"type": "string", "maxLength": most}, st.integers(0, 4)),
        st.builds(
            lambda items: {"enum": items},
            st.lists(st.one_of(st.text(max_size=5), st.integers(-9, 9)), min_size=1, max_size=3),
        ),
        st.builds(lambda value: {"const": value}, st.one_of(st.booleans(), st.text(max_size=4))),
    )
    if depth == 0:
        return leaves
    inner = bounded(depth - 1)
    names = st.text(st.sampled_from('ab"\\é 1'), min_size=1, max_size=3)
    objects = st.builds(
        lambda properties, optional: {
            "type": "object",
            "properties": properties,
            "required": sorted(properties)[optional:],
            "additionalProperties": False,
        },
        st.dictionaries(names, inner, max_size=3),
        st.integers(0, 1),
    )
    arrays = st.builds(
        lambda items, least: {"type": "array", "items": items, "minItems": least, "maxItems": least + 1},
        inner,
        st.integers(0, 2),
    )
    choices = st.builds(lambda options: {"anyOf": options}, st.lists(inner, min_size=1, max_size=2))
    return st.one_of(leaves, objects, arrays, choices)


def follows(text: str, schema: dict[str, Any]) -> None:
    jsonschema.Draft202012Validator(schema).validate(json.loads(text))


@pytest.mark.parametrize("lookup", [False, True])
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(schema=bounded(2), seed=st.integers(0, 99))
def test_a_random_model_writes_what_any_schema_accepts(
    tiny: Model, lookup: bool, schema: dict[str, Any], seed: int
) -> None:
    run = tiny.generate(
        "x", grammar=Grammar.json_schema(schema), max_tokens=None, temperature=1.5, seed=seed, lookup=lookup
    )
    text = "".join(run)
    if run.finish_reason != "context":
        assert run.finish_reason == "stop"
        follows(text, schema)


def test_a_character_without_tokens_is_an_error_in_one_line(smollm2: Model) -> None:
    with pytest.raises(ValueError, match="no tokens for") as error:
        list(smollm2.generate("x", grammar=Grammar.json_schema({"enum": ["\U00040000"]})))
    assert len(str(error.value)) < 300


@pytest.mark.slow
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(schema=bounded(2), temperature=st.sampled_from([0.0, 1.0]), lookup=st.booleans())
def test_a_trained_model_writes_what_any_schema_accepts(
    smollm2: Model, schema: dict[str, Any], temperature: float, lookup: bool
) -> None:
    # The vocabulary lacks the tokens of some bytes, which no text in use has.
    characters = json.dumps(schema, ensure_ascii=False)
    assume(smollm2.tokenizer.decode(smollm2.tokenizer.encode(characters)) == characters)
    prompt = f"A JSON document of the schema {json.dumps(schema)}:\n"
    run = smollm2.generate(
        prompt, grammar=Grammar.json_schema(schema), temperature=temperature, seed=1, lookup=lookup
    )
    text = "".join(run)
    assert run.finish_reason == "stop"
    follows(text, schema)


def test_a_chat_answers_in_json(smollm2: Model) -> None:
    question = [{"role": "user", "content": "Describe John Smith, a baker of 34 years, as JSON."}]
    answers = [
        smollm2.chat(question, grammar=Grammar.json_schema(PERSON), lookup=lookup) for lookup in (False, True)
    ]
    assert answers[0] == answers[1]
    follows(answers[0], PERSON)
    assert json.loads(answers[0])["age"] == 34


def test_forced_tokens_change_nothing(smollm2: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    from phonelm.engine.grammar import GrammarConstraint

    runs = []
    for forced in (True, False):
        if not forced:
            monkeypatch.setattr(GrammarConstraint, "forced", lambda self: [])
        run = smollm2.generate("John is 34. As JSON: ", grammar=Grammar.json_schema(PERSON))
        runs.append(("".join(run), run.tokens))
    assert runs[0] == runs[1]


def test_stop_tokens_are_allowed_just_where_the_grammar_may_end(smollm2: Model) -> None:
    from phonelm.engine.constraint import allows, new_mask

    tokenizer = smollm2.tokenizer
    rule = Grammar.regex("a(bc)*").constraint(tokenizer)
    mask = new_mask(tokenizer.vocab_size)
    for letter, may_end in [("", False), ("a", True), ("b", False), ("c", True)]:
        for token in tokenizer.encode(letter):
            rule.accept(token)
        rule.fill_mask(mask)
        assert {allows(mask, token) for token in tokenizer.stop_ids} == {may_end}, letter


@pytest.mark.parametrize("seed", range(4))
def test_regular_expressions(tiny: Model, seed: int) -> None:
    pattern = r"[A-Z][a-z]{2,5}: (yes|no)é?"
    run = tiny.generate("x", grammar=Grammar.regex(pattern), temperature=2, seed=seed)
    assert re.fullmatch(pattern, "".join(run))


@pytest.mark.parametrize("seed", range(6))
def test_gbnf(tiny: Model, seed: int) -> None:
    run = tiny.generate("x", grammar=Grammar.gbnf(SUMS), temperature=1, seed=seed, max_tokens=None)
    text = "".join(run)
    assert re.fullmatch(r"[0-9+=()]+", text)
    if run.finish_reason == "stop":
        assert text.count("(") == text.count(")")


@pytest.mark.parametrize(
    ("source", "text"),
    [
        (r'root ::= "\u00e9\U0001F600\u0041\u005c\""', 'é😀A\\"'),
        (r"root ::= [\u0061-\u0061] [^\u0000-\u0061\u0063-\U0010ffff]", "ab"),
        (r'root ::= "\\u0041\n" "\x42"', "\\u0041\nB"),
    ],
)
def test_gbnf_escapes(tiny: Model, source: str, text: str) -> None:
    assert "".join(tiny.generate("x", grammar=Grammar.gbnf(source), temperature=1, seed=1)) == text


def test_lark(tiny: Model) -> None:
    run = tiny.generate("x", grammar=Grammar.lark('start: "a" B\nB: /[bc]{3}/\n'), temperature=1, seed=1)
    assert re.fullmatch("a[bc]{3}", "".join(run))


@pytest.mark.parametrize(
    ("make", "source", "message"),
    [
        (Grammar.json_schema, {"type": "strin"}, "Invalid type: strin"),
        (Grammar.json_schema, {"not": {}}, r'Unimplemented keys: \["not"\]'),
        (Grammar.json_schema, {"type": "array", "uniqueItems": True}, "uniqueItems"),
        (Grammar.json_schema, {"type": "string", "format": "odd"}, "Unknown format: odd"),
        (Grammar.json_schema, {"$ref": "#/$defs/none"}, "does not exist"),
        (
            Grammar.json_schema,
            {"type": "object", "properties": {"a": False}, "required": ["a"]},
            "unsatisfiable",
        ),
        (Grammar.json_schema, "false", "give an object"),
        (Grammar.json_schema, "{", "not JSON"),
        (Grammar.json_schema, "[1]", "give an object"),
        (Grammar.regex, "(a", "unclosed group"),
        (Grammar.regex, "(?=a)b", "look-around"),
        (Grammar.gbnf, "", "No 'root' rule"),
        (Grammar.gbnf, "root ::= other", "'other' not found"),
        (Grammar.gbnf, "root ::= [a-z", "end of input"),
        (Grammar.gbnf, 'root ::= "a"\nroot ::= "b"', "'root' stands there twice"),
        (Grammar.gbnf, "rot ::= 'a'", "GBNF"),
        (Grammar.gbnf, 'root ::= "a\\', "GBNF"),
        (Grammar.lark, "start: other", "other"),
        (Grammar.lark, "nothing", "does not compile"),
    ],
)
def test_what_does_not_compile_is_refused(make: Any, source: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message) as refusal:
        make(source)
    assert "\n" not in str(refusal.value)


def test_a_grammar_and_a_constraint_are_one_too_many(tiny: Model) -> None:
    grammar = Grammar.regex("a")
    with pytest.raises(ValueError, match="give one"):
        tiny.generate("x", grammar=grammar, constraint=grammar.constraint(tiny.tokenizer))


def test_without_llguidance_the_extra_is_named() -> None:
    code = (
        "import sys; sys.modules['llguidance'] = None\n"
        "import phonelm\n"
        "try: phonelm.Grammar.regex('a')\n"
        "except ModuleNotFoundError as error: print(error, error.name)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pip install 'phonelm[grammar]'" in done.stdout
    assert done.stdout.strip().endswith("llguidance")
