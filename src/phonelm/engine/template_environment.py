"""The dialect of Jinja that chat templates are written in, in a sandbox with a budget of steps.

Nothing a template does is free: bodies that may run again, comparisons and what builds strings and containers
(`template_compiler.py`), operators, filters, tests and methods (`template_costs.py`), and what it prints.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from types import BuiltinMethodType
from typing import Any, NoReturn

from jinja2 import Template, TemplateError, pass_context
from jinja2.exceptions import SecurityError
from jinja2.ext import Extension, loopcontrols
from jinja2.meta import find_undeclared_variables
from jinja2.nodes import CallBlock, Node
from jinja2.parser import Parser
from jinja2.runtime import BlockReference, Context, LoopContext, Macro
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.tests import TESTS
from jinja2.utils import Namespace

from phonelm.engine.template_compiler import SPEND, SPEND_ON, SPEND_ON_TOP, MeteredGenerator
from phonelm.engine.template_costs import (
    DIVIDING_TESTS,
    FILTER_NAMES,
    LAZY_FILTERS,
    READING_TESTS,
    spend_on_filter,
    spend_on_method,
    spend_on_operator,
)
from phonelm.engine.template_meter import Meter, deep_steps

__all__ = ["names_read", "new_environment", "render"]

_LARGEST_INPUT = 10**9

# Keywords that the compiled code adds to a call.
_OF_JINJA = ("_loop_vars", "_block_vars")
_STEPS_PER_CALL = 20
# What they cost is in their bodies.
_METERED_INSIDE = (BlockReference, LoopContext, Macro)


def new_environment() -> ImmutableSandboxedEnvironment:
    """Return the environment of transformers' `apply_chat_template`, for which templates are written."""
    # The optimizer would execute constant expressions at compile time, without a budget.
    environment = _Environment(
        trim_blocks=True,
        lstrip_blocks=True,
        optimized=False,
        finalize=_spend_on,
        extensions=[_GenerationBlock, loopcontrols],
    )
    filters = {**environment.filters, "tojson": _to_json}
    environment.filters = {name: _metered_filter(name, filters[name]) for name in FILTER_NAMES}
    environment.filters |= {SPEND: _spend, SPEND_ON: _spend_on, SPEND_ON_TOP: _spend_on_top}
    environment.tests |= {name: _metered_test(name) for name in READING_TESTS}
    environment.tests |= {name: _metered_division(name) for name in DIVIDING_TESTS}
    del environment.globals["lipsum"]
    environment.globals["dict"] = _new_dict
    environment.globals["namespace"] = _Namespace
    environment.globals["raise_exception"] = _raise_exception
    environment.globals["strftime_now"] = _format_now
    return environment


def names_read(source: str) -> set[str]:
    """Return the names that a template reads, without those that the dialect defines."""
    environment = new_environment()
    return find_undeclared_variables(environment.parse(source)) - set(environment.globals)


def render(template: Template, variables: Mapping[str, Any]) -> str:
    """Return what a template of `new_environment` prints.

    The budget grows with the size of the variables. Raises `OutOfSteps`, and whatever else a program may.
    """
    context = template.new_context(dict(variables))
    assert isinstance(context, _Context)
    context.meter = Meter(deep_steps(variables, _LARGEST_INPUT))
    return "".join(template.root_render_func(context))


class _Context(Context):
    """The variables of a rendering, with its budget."""

    meter: Meter

    def derived(self, locals: dict[str, Any] | None = None) -> Context:
        context = super().derived(locals)
        assert isinstance(context, _Context)
        context.meter = self.meter
        return context


class _Environment(ImmutableSandboxedEnvironment):
    code_generator_class = MeteredGenerator
    context_class = _Context
    intercepted_binops = frozenset(ImmutableSandboxedEnvironment.default_binop_table)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        assert isinstance(context, _Context)
        spend_on_operator(context.meter, operator, left, right)
        return super().call_binop(context, operator, left, right)

    # The names are Jinja's: a template's own keywords must not meet them.
    def call(__self, __context: Context, __obj: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N805
        assert isinstance(__context, _Context)
        meter = __context.meter
        meter.spend(_STEPS_PER_CALL)
        meter.spend_on(*(arg for arg in args if isinstance(arg, tuple)))
        if isinstance(__obj, _METERED_INSIDE):
            return super().call(__context, __obj, *args, **kwargs)
        given = {name: value for name, value in kwargs.items() if name not in _OF_JINJA}
        # `format` is wrapped by the sandbox.
        method = getattr(__obj, "__wrapped__", __obj)
        if isinstance(method, BuiltinMethodType) or isinstance(getattr(method, "__self__", None), str):
            args = spend_on_method(meter, method.__self__, method.__name__, args, given)
        else:
            meter.spend_on(*args, *given.values())
        result = super().call(__context, __obj, *args, **kwargs)
        meter.spend_on_top(result)
        return result


class _Namespace(Namespace):
    """Jinja's namespace without private names, which would reach into Python."""

    def __init__(*args: Any, **kwargs: Any) -> None:
        Namespace.__init__(args[0])
        for name, value in dict(*args[1:], **kwargs).items():
            _Namespace.__setitem__(args[0], name, value)

    def __setitem__(self, name: str, value: Any) -> None:
        if str(name).startswith("_"):
            raise SecurityError(f"the private name {name} in a namespace")
        Namespace.__setitem__(self, name, value)


class _GenerationBlock(Extension):
    """`{% generation %}` marks the assistant's tokens for training; for inference it prints its body."""

    tags = {"generation"}  # noqa: RUF012  (the name and kind jinja2 prescribes)

    def parse(self, parser: Parser) -> Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return CallBlock(self.call_method("_body"), [], [], body).set_lineno(line)

    def _body(self, caller: Any) -> str:
        return str(caller())


def _metered_filter(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    wanted = getattr(getattr(function, "jinja_pass_arg", None), "name", None)

    @pass_context
    def metered(context: _Context, *args: Any, **kwargs: Any) -> Any:
        args = spend_on_filter(context.meter, name, args, kwargs)
        first = {
            "context": (context,),
            "eval_context": (context.eval_ctx,),
            "environment": (context.environment,),
        }
        steps = 1 + context.meter.steps_of(args[1:])
        if name in LAZY_FILTERS and args and isinstance(args[0], Iterable):
            args = (_metered_items(context.meter, args[0], steps), *args[1:])
        result = function(*first.get(wanted or "", ()), *args, **kwargs)
        if isinstance(result, Iterator):
            return _metered_items(context.meter, result, steps)
        context.meter.spend_on_top(result)
        return result

    return metered


def _metered_items(meter: Meter, items: Iterable[Any], steps: int) -> Iterator[Any]:
    for item in items:
        meter.spend(steps)
        yield item


def _metered_test(name: str) -> Callable[..., Any]:
    function: Any = TESTS[name]

    @pass_context
    def metered(context: _Context, *args: Any) -> Any:
        context.meter.spend_on(*args)
        return function(*args)

    return metered


def _metered_division(name: str) -> Callable[..., Any]:
    function: Any = TESTS[name]

    @pass_context
    def metered(context: _Context, value: Any, *numbers: Any) -> Any:
        spend_on_operator(context.meter, "%", value, numbers[0] if numbers else 2)
        return function(value, *numbers)

    return metered


@pass_context
def _spend(context: _Context, steps: int) -> bool:
    context.meter.spend(abs(steps))
    return True


@pass_context
def _spend_on(context: _Context, value: Any) -> Any:
    context.meter.spend_on(value)
    return value


@pass_context
def _spend_on_top(context: _Context, value: Any) -> Any:
    context.meter.spend_on_top(value)
    return value


def _new_dict(*args: Any, **kwargs: Any) -> dict[str, Any]:
    return dict(*args, **kwargs)


def _format_now(format: str) -> str:
    return datetime.now().strftime(format)


def _to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    # Jinja's own filter escapes HTML, which no model was trained on.
    return json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )


def _raise_exception(message: str) -> NoReturn:
    raise TemplateError(message)
