"""A template may be any program: it ends soon, in bounded memory, with one clear line."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import pytest

from phonelm.engine.chat_template import ChatTemplate
from phonelm.engine.template_meter import BASE_STEPS, Meter, OutOfSteps, deep_steps
from template_fuzz import Templates

HI = [{"role": "user", "content": "hi"}]
_GROWING = "{{% set ns = namespace(x={start}, y={start}) %}}{{% for i in range(99) %}}{step}{{% endfor %}}"


def _growing(start: str, step: str, use: str = "") -> str:
    return _GROWING.format(start=start, step=step) + use


@pytest.mark.parametrize(
    "source",
    [
        "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
        "{% for i in range(99999) %}{% for j in range(99999) if false %}{% endfor %}{% endfor %}",
        "{% for i in range(99999) %}{{ range(99999) | select('none') | list }}{% endfor %}",
        "{% for i in range(99999) %}{{ range(99999) | sum }}{% endfor %}",
        "{% for i in range(99999) %}{% if 'x' in range(99999) %}{% endif %}{% endfor %}",
        "{% macro m(n) %}{% if n %}{{ m(n - 1) }}{{ m(n - 1) }}{% endif %}{% endmacro %}{{ m(60) }}",
        "{{ 'x' * 10 ** 9 }}",
        "{{ [1] * 10 ** 9 }}",
        "{{ '%1000000000d' % 1 }}",
        "{{ '%1000000000d' is divisibleby 1 }}",
        "{{ '%1000000000d' is even }}{{ '%1000000000d' is odd }}",
        "{{ '%*d' % (10 ** 9, 1) }}",
        "{{ '%.1000000000f' | format(1.5) }}",
        "{{ '{:1000000000}'.format(1) }}",
        "{{ '{:{}}'.format(1, 10 ** 9) }}",
        "{{ '{x:{y}}'.format_map({'x': 1, 'y': 10 ** 9}) }}",
        "{{ 'x' | center(10 ** 9) }}",
        "{{ 'x'.ljust(10 ** 9) }}",
        "{{ '1'.zfill(10 ** 9) }}",
        "{% filter center(10 ** 9) %}x{% endfilter %}",
        "{{ ('x\\n' * 1000) | indent(10 ** 7) }}",
        "{{ [[1]] | tojson(indent=10 ** 9) }}",
        "{{ (['x'] * 10 ** 5) | join('y' * 10 ** 4) }}",
        "{{ ('y' * 10 ** 5).join(['x'] * 10 ** 4) }}",
        "{{ ('x' * 10 ** 4).replace('x', 'y' * 10 ** 5) }}",
        "{{ ('x' * 10 ** 4) | replace('x', 'y' * 10 ** 5) }}",
        "{{ [1] | batch(10 ** 9, 'x') | list }}",
        "{{ [1] | slice(10 ** 9) | list }}",
        "{{ ([[1]] * 99999) | sum(start=[]) | length }}",
        _growing("'ab'", "{% set ns.x = ns.x ~ ns.x %}"),
        _growing("'ab'", "{% set ns.x = ns.x + ns.x %}"),
        _growing("'ab'", "{% set ns.x = '%s%s' % (ns.x, ns.x) %}"),
        _growing("'ab'", "{% set ns.x %}{{ ns.x }}{{ ns.x }}{% endset %}"),
        _growing("[1]", "{% set ns.x = ns.x + ns.x %}"),
        # A tree of 2^99 leaves in a hundred lists: whatever reads it to the leaves has no end.
        _growing("[1]", "{% set ns.x = [ns.x, ns.x] %}", "{{ ns.x }}"),
        _growing("[1]", "{% set ns.x = [ns.x, ns.x] %}", "{{ ns.x | tojson }}"),
        _growing("[1]", "{% set ns.x = [ns.x, ns.x] %}", "{{ ns.x | string | length }}"),
        _growing("[1]", "{% set ns.x = [ns.x, ns.x] %}", "{{ 'x' ~ ns.x }}"),
        _growing("[1]", "{% set ns.x = [ns.x, ns.x] %}", "{{ ns.x is lower }}"),
        _growing("[1]", "{% set ns.x = [ns.x, ns.x] %}", "{{ ns.x is upper }}"),
        _growing("[1]", "{% set ns.x = [ns.x, ns.x] %}{% set ns.y = [ns.y, ns.y] %}", "{{ ns.x == ns.y }}"),
        _growing(
            "[1]", "{% set ns.x = [ns.x, ns.x] %}{% set ns.y = [ns.y, ns.y] %}", "{{ ns.x is eq ns.y }}"
        ),
        _growing("(1,)", "{% set ns.x = (ns.x, ns.x) %}", "{{ {ns.x: 1} }}"),
        _growing("(1,)", "{% set ns.x = (ns.x,) * 2 %}", "{{ {}.get(ns.x) }}"),
        "{% macro m() %}{% set ns.x = varargs %}{% endmacro %}"
        + _growing("(1,)", "{{ m(ns.x, ns.x) }}", "{{ {}[ns.x] }}").replace("macro m()", "macro m(ns)"),
    ],
)
def test_work_without_end_is_refused(source: str) -> None:
    with pytest.raises(ValueError, match=r"takes more than [\d,]+ steps.*use generate with a plain prompt"):
        ChatTemplate(source).render(HI)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("{{ 10 ** (10 ** 9) }}", "a number of more than 4096 bits"),
        ("{{ 1 | round(10 ** 9, 'ceil') }}", "rounded to more than 100 digits"),
        ("{{ 'x'.expandtabs(10 ** 9) }}", "the method expandtabs of a str"),
        ("{{ 'x'.translate({120: 'y' * 1000}) }}", "the method translate of a str"),
        ("{{ (1).to_bytes(10 ** 9, 'big') }}", "the method to_bytes of a int"),
        ("{{ 'x' | wordwrap }}", "No filter named 'wordwrap'"),
        ("{% block b %}{{ self.b() }}{% endblock %}", "recursion"),
        ("{% for i in [1] recursive %}{{ loop([1]) }}{% endfor %}", "recursion"),
        ("{{ raise_exception('line\nline ' * 10000) }}", "line line"),
    ],
)
def test_what_has_no_simple_bound_is_refused(source: str, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        ChatTemplate(source).render(HI)
    assert len(str(caught.value)) < 700
    assert "\n" not in str(caught.value)


def test_a_template_that_is_linear_in_the_messages_has_no_limit() -> None:
    source = "{% for m in messages %}{{ m.role ~ ': ' ~ m.content | trim }}{{ m | tojson }}\n{% endfor %}"
    messages = [{"role": "user", "content": f"{number} " + "word " * 50} for number in range(3000)]
    text = ChatTemplate(source).render(messages)
    assert text.count("\n") == len(messages)
    assert deep_steps(messages, 10**9) > BASE_STEPS / 100


def test_a_value_is_counted_as_a_tree() -> None:
    tree: list[object] = ["leaf"]
    for _ in range(10):
        tree = [tree, tree]
    assert (
        deep_steps(tree, 10**9) == 2**10 + sum(2**level for level in range(11)) * 8 + 2 * (2**10 - 1) + 2**10
    )
    assert 100 < deep_steps(tree, 100) < 200


def test_a_budget_stays_used_up() -> None:
    meter = Meter(0)
    with pytest.raises(OutOfSteps):
        meter.spend(BASE_STEPS + 1)
    with pytest.raises(OutOfSteps):
        meter.spend(0)


def _render_all(seed: int, count: int) -> None:
    """Render random templates; anything but a text or one line of a `ValueError` ends the process."""
    templates = Templates(seed)
    for _ in range(count):
        source = templates.template()
        try:
            ChatTemplate(source).render(HI)
        except ValueError as error:
            line = str(error)
            assert len(line) < 1000, source
            assert "\n" not in line, source


def _in_a_process(seed: int, count: int, seconds: float) -> subprocess.CompletedProcess[str]:
    """Run `_render_all` with 1 GiB of memory and so many seconds of processor time."""
    code = f"from test_template_budget import _render_all; _render_all({seed}, {count})"

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (2**30, 2**30))
        resource.setrlimit(resource.RLIMIT_CPU, (int(seconds), int(seconds)))

    here = Path(__file__).parent
    return subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": f"{here}:{here.parent}", "PATH": "", "OPENBLAS_NUM_THREADS": "1"},
        preexec_fn=limit,
        capture_output=True,
        text=True,
    )


@pytest.mark.skipif(sys.platform != "linux", reason="limits of a process")
@pytest.mark.parametrize("count", [200, pytest.param(1500, marks=pytest.mark.slow)])
def test_random_templates_end_with_a_text_or_one_clear_line(count: int) -> None:
    done = _in_a_process(seed=count, count=count, seconds=60 + count)
    assert done.returncode == 0, done.stderr[-3000:]
