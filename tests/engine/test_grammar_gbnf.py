"""GBNF grammars, against regular expressions of the same language, and what is refused."""

from __future__ import annotations

import random
import re

import pytest

pytest.importorskip("llguidance")
pytest.importorskip("jsonschema")

from fuzz_grammars import accepts, written
from phonelm.engine import Grammar
from phonelm.engine.grammar_gbnf_lark import lark_of

REGULAR = [
    ('root ::= "n" ([0-9]+)? ";"', "n[0-9]*;", ["n;", "n12;"]),
    ('root ::= start ";"\nstart ::= "a" | "b"', "[ab];", ["a;", "b;"]),
    ('root ::= Start start START\nStart ::= "a"\nstart ::= "b"\nSTART ::= "c"', "abc", ["abc"]),
    ('root ::= a-b a_b aB\na-b ::= "1"\na_b ::= "2"\naB ::= "3"', "123", ["123"]),
    ('root ::= (("a")*)+ ("b")', "a*b", ["b", "aab"]),
    ('root ::= ([a-c]{2}){1,2} "."?', r"([a-c]{2}){1,2}\.?", ["ab", "abca."]),
    ('root ::= "ab"{2,}', "(ab){2,}", ["abab", "ababab"]),
    ("root ::= [0-9]{0,2} [^0-9]", "(?s)[0-9]{0,2}[^0-9]", ["1x", "12\n"]),
    ('root ::= digits "5"\ndigits ::= [0-9]+', "[0-9]+5", ["125", "55"]),
    ('root ::= "a" "bc" | "ab" "d"', "abc|abd", ["abc", "abd"]),
    ('root ::= ("a" | "b" | )* # any\n\n# more\n', "[ab]*", ["", "abba"]),
    ("root ::=\n  [a] |\n  [b]", "a|b", ["a", "b"]),
    ('root ::= "a" # "b"\n', "a", ["a"]),
    ("root ::= [&&~] [a\\-c] [\\]\\[] [x-]", r"[&~][-ac][\]\[][-x]", ["&-]x", "~c[-"]),
    ('root ::= "//" "#" "%" [/]', "//#%/", ["//#%/"]),
    ('root ::= . "\\x41\\u00e9\\U0001F600\\\\\\"\\n"', '(?s).Aé😀\\\\"\n', ['zAé😀\\"\n', '\nAé😀\\"\n']),
    ('root ::= 1st\r\n1st ::= "a"\r\n', "a", ["a"]),
    ('root ::= "" | "x"', "x?", ["", "x"]),
    ('root ::= "a"{0} "b"', "b", ["b"]),
]


@pytest.mark.parametrize(("source", "pattern", "examples"), REGULAR)
def test_grammars_without_recursion_are_followed_exactly(
    source: str, pattern: str, examples: list[str]
) -> None:
    grammar = Grammar.gbnf(source)
    assert [accepts(grammar, text) for text in examples] == [True] * len(examples)
    texts = [written(grammar, random.Random(seed)) for seed in range(10)]
    assert [text for text in texts if text is not None and not re.fullmatch(pattern, text)] == []


JSON = r"""
root ::= "{" ws (string ":" ws (root | string) ("," ws string ":" ws (root | string))*)? "}" ws
string ::= "\"" ([^"\\\x00-\x1F] | "\\" ["\\bfnrt])* "\"" ws
ws ::= | " " | "\n" [ \t]{0,20}
"""
ARITHMETIC = """
# llama.cpp's example
root  ::= (expr "=" ws term "\\n")+
expr  ::= term ([-+*/] term)*
term  ::= ident | num | "(" ws expr ")" ws
ident ::= [a-z] [a-z0-9_]* ws
num   ::= [0-9]+ ws
ws    ::= [ \\t\\n]*
"""


def test_recursive_grammars() -> None:
    grammar = Grammar.gbnf(ARITHMETIC)
    for text in ("42*a=1\n", "(1 +x9) *(y-(2)) = z\n", "a=a\nb=b\n"):
        assert accepts(grammar, text), text
    for text in ("1+=2\n", "(1=2\n", "1=2", "1)=2\n"):
        assert not accepts(grammar, text), text


@pytest.mark.parametrize(
    ("source", "inside", "outside"),
    [
        ('root ::= "(" root ")" | digits "5"\ndigits ::= [0-9]+', ["125", "(((55)))"], ["5", "(12)"]),
        ('root ::= "(" root ")" | word "="\nword ::= [a-z]+ ws\nws ::= [ =]*', ["a=", "(ab ==)"], ["=", "a"]),
        ('root ::= "(" root ")" | "if" | name "x"\nname ::= [a-z]', ["if", "ix", "(fx)"], ["i", "ifx"]),
        ('root ::= "(" root ")" | e | "\\u00e9" "b"\ne ::= [à-ü] [a-z]', ["éb", "(üz)"], ["é"]),
        ('root ::= root "," item | item\nitem ::= "a"*', ["", ",", "a,,aa"], ["b"]),
    ],
)
def test_recursive_grammars_are_followed_exactly_too(
    source: str, inside: list[str], outside: list[str]
) -> None:
    grammar = Grammar.gbnf(source)
    found = [accepts(grammar, text) for text in [*inside, *outside]]
    assert found == [True] * len(inside) + [False] * len(outside)


def test_rules_of_json_are_lexemes() -> None:
    lark = lark_of(JSON)
    assert "R1_STRING" in lark
    assert "R2_WS" in lark
    assert accepts(Grammar.gbnf(JSON), '{"a": {},\n "b": "c"}')


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ('root ::= "a"{,3}', "Expected {m}"),
        ('root ::= "a"{3,1}', "fewer than the least"),
        ('root ::= "a"{3000}', "more than 2000 repetitions"),
        ('root ::= "a"{99999999999999999999}', "more than 2000 repetitions"),
        ("root ::= [z-a]", "is empty; exchange its ends"),
        ("root ::= []", "no characters"),
        ("root ::= <think>", "tokens"),
        ('root ::= "\\q"', "Invalid escape at line 1"),
        ('root ::= "\\ud800"', "no character"),
        ('root ::= "\\U00110000"', "no character"),
        ('root ::= "a"\n\nroot "b"', "Expected ::= at line 3"),
        ('root ::= "a" ::= "b"', "Expected a newline"),
        ("root ::= *", "Expected a newline"),
        ('root ::= "a"\n | "b"', "Expected a name"),
        ('root ::= ("a"', r"Expected '\)'"),
        ("root ::= " + "(" * 10**5, "groups within each other"),
        ('root ::= "a"' + "?" * 10**5, "too much within each other"),
        (
            "root ::= r0\n" + "\n".join(f"r{n} ::= r{n + 1}" for n in range(9999)) + '\nr9999 ::= "a"',
            "levels together",
        ),
    ],
)
def test_what_is_not_gbnf_is_refused_with_its_line(source: str, message: str) -> None:
    with pytest.raises(ValueError, match=message) as refusal:
        Grammar.gbnf(source)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("form", ["GBNF", "Lark"])
@pytest.mark.parametrize("end", ['"a"', "r0"])
def test_chains_of_rules_do_not_end_the_process(form: str, end: str) -> None:
    sign, make = ("::=", Grammar.gbnf) if form == "GBNF" else (":", Grammar.lark)
    rules = [f"r{place} {sign} ((r{place + 1} | {end}))" for place in range(20000)]
    first = f"{'root' if form == 'GBNF' else 'start'} {sign} r0"
    with pytest.raises(ValueError, match="levels together"):
        make("\n".join([first, *rules, f'r20000 {sign} "a"']))
