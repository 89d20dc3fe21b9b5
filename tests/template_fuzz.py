# ruff: noqa: E501  (lists of pieces)
"""Random chat templates that ask for more work than they may: loops, growth, formats, recursion."""

from __future__ import annotations

import random

_NAMES = ("messages", "ns.x", "ns.y", "a", "messages[0].content", "loop.index", "none", "tools")
_NUMBERS = ("0", "1", "-1", "7", "1000", "99999", "10**9", "10**18", "-10**9", "2.5", "1e308", "10**400")
_TEXTS = (
    "''",
    "'ab'",
    "'%s'",
    "'%99999999d'",
    "'%*d'",
    "'{}'",
    "'{:{}}'",
    "'{0!r:>99999}'",
    "'\\n'",
    "'%c%x'",
    "'%%'",
)
_FILTERS = [
    "abs",
    "attr('x')",
    "batch({i})",
    "batch({i},{e})",
    "capitalize",
    "center({i})",
    "count",
    "default({e})",
    "dictsort",
    "e",
    "escape",
    "first",
    "float",
    "format({e})",
    "groupby('role')",
    "indent({i})",
    "indent({e},true)",
    "int",
    "int(base=16)",
    "items",
    "join",
    "join({e})",
    "last",
    "length",
    "list",
    "lower",
    "map('upper')",
    "map(attribute='role')",
    "map('tojson')",
    "max",
    "min",
    "random",
    "reject",
    "rejectattr('x')",
    "replace({e},{e})",
    "reverse",
    "round",
    "round({i})",
    "round({i},'ceil')",
    "safe",
    "select",
    "select('eq',{e})",
    "selectattr('role','eq',{e})",
    "slice({i})",
    "sort",
    "sort(true)",
    "string",
    "sum",
    "sum(start={e})",
    "title",
    "tojson",
    "tojson(indent={i})",
    "tojson(separators=({e},{e}))",
    "trim",
    "trim({e})",
    "truncate({i})",
    "unique",
    "upper",
    "urlencode",
    "wordcount",
    "filesizeformat",
    "forceescape",
    "pprint",
]
_METHODS = [
    "upper()",
    "lower()",
    "split()",
    "split({e})",
    "splitlines()",
    "strip({e})",
    "replace({e},{e})",
    "join({e})",
    "center({i})",
    "ljust({i},'x')",
    "zfill({i})",
    "format({e})",
    "format({e},{e})",
    "format_map({e})",
    "count({e})",
    "index({e})",
    "find({e})",
    "startswith({e})",
    "encode()",
    "translate({e})",
    "expandtabs({i})",
    "items()",
    "keys()",
    "values()",
    "get({e})",
    "copy()",
    "append({e})",
    "update({e})",
    "to_bytes({i},'big')",
    "bit_length()",
    "hex()",
    "__class__",
    "partition({e})",
    "title()",
    "swapcase()",
    "casefold()",
    "isalpha()",
]
_OPERATORS = [
    "+",
    "-",
    "*",
    "/",
    "//",
    "%",
    "**",
    "~",
    "==",
    "!=",
    "<",
    ">",
    "in",
    "and",
    "or",
    "not in",
    "is eq",
    "is in",
    "is divisibleby",
]


class Templates:
    """Templates drawn from a seed; the same for the same."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def template(self) -> str:
        """Return the source of one."""
        start = "{% set ns = namespace(x='ab', y=[1]) %}{% set a = (1, 'b') %}{% macro m(n, f) %}{{ n }}{{ f }}{% endmacro %}"
        return start + "".join(self._statement(3) for _ in range(self._random.randint(1, 5)))

    def _pick(self, choices: tuple[str, ...] | list[str]) -> str:
        return self._random.choice(choices)

    def _filled(self, pattern: str, depth: int) -> str:
        while "{e}" in pattern or "{i}" in pattern:
            pattern = pattern.replace("{i}", self._pick(_NUMBERS), 1)
            pattern = pattern.replace("{e}", self._expression(depth), 1) if "{e}" in pattern else pattern
        return pattern

    def _expression(self, depth: int) -> str:
        kind = self._random.randrange(13) if depth > 0 else self._random.randrange(3)
        deeper = depth - 1
        if kind < 3:
            return self._pick((_NAMES, _NUMBERS, _TEXTS)[kind])
        if kind < 6:
            return f"({self._expression(deeper)} {self._pick(_OPERATORS)} {self._expression(deeper)})"
        if kind < 8:
            return f"({self._expression(deeper)} | {self._filled(self._pick(_FILTERS), deeper)})"
        if kind < 10:
            return f"({self._expression(deeper)}).{self._filled(self._pick(_METHODS), deeper)}"
        if kind == 10:
            return self._filled(self._pick(["[{e}, {e}]", "({e}, {e})", "{'k': {e}}", "{{e}: {e}}"]), deeper)
        if kind == 11:
            return self._filled(
                self._pick(
                    [
                        "range({i})",
                        "range({i})|list",
                        "m({e},{e})",
                        "dict(x={e})",
                        "cycler({e})",
                        "namespace(x={e})",
                        "strftime_now({e})",
                        "raise_exception({e})",
                        "joiner({e})",
                        "lipsum({i})",
                        "self",
                        "varargs",
                    ]
                ),
                deeper,
            )
        return f"({self._expression(deeper)})[{self._pick(['::-1', ':', '0', '1:', ':10**9', self._expression(deeper)])}]"

    def _statement(self, depth: int) -> str:
        kind = self._random.randrange(12) if depth > 0 else 0
        body = (
            "".join(self._statement(depth - 1) for _ in range(self._random.randint(1, 2))) if kind > 3 else ""
        )
        value = self._expression(2)
        patterns = (
            f"{{{{ {value} }}}}",
            f"{{% set ns.{self._pick(['x', 'y'])} = {value} %}}",
            f"{{% set ns.{self._pick(['x', 'y'])} = {self._pick(['ns.x ~ ns.x', 'ns.x + ns.x', '[ns.x, ns.y]', '(ns.x, ns.x)', 'ns.y * 9'])} %}}",
            "text <|im_end|>\n",
            f"{{% for i in range({self._pick(_NUMBERS)}) %}}{body}{{% endfor %}}",
            f"{{% for i in {value} %}}{body}{{% else %}}{body}{{% endfor %}}",
            f"{{% for i in range(99999) if {value} %}}{body}{{% endfor %}}",
            f"{{% if {value} %}}{body}{{% else %}}x{{% endif %}}",
            f"{{% set ns.x %}}{body}{{{{ ns.x }}}}{{% endset %}}",
            f"{{% macro r(n) %}}{body}{{{{ r(n + 1) if n < {self._pick(_NUMBERS)} }}}}{{{{ r(n + 1) if n < 40 }}}}{{% endmacro %}}{{{{ r(0) }}}}",
            f"{{% filter {self._filled(self._pick(_FILTERS), 1)} %}}{body}{{% endfilter %}}",
            f"{{% for i in {value} recursive %}}{body}{{{{ loop(i) }}}}{{% endfor %}}",
        )
        return patterns[kind]
