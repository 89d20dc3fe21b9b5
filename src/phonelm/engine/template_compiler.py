# ruff: noqa: N802, N815  (jinja2 finds visitors by the names of its nodes)
"""Compiles chat templates so that their loops, calls and comparisons are taken off a budget of steps."""

from __future__ import annotations

from typing import Any

from jinja2 import nodes
from jinja2.compiler import CodeGenerator, Frame
from jinja2.visitor import NodeTransformer

# Names no template can spell as `| name`; `map` finds them, and then they only take more steps.
SPEND = "<spend>"
SPEND_ON = "<spend on>"
SPEND_ON_TOP = "<spend on top>"


class MeteredGenerator(CodeGenerator):
    """Jinja's code generator, with the steps that the code takes written into it."""

    def visit_Template(self, node: nodes.Template, frame: Frame | None = None) -> None:
        """Write the code of a template."""
        super().visit_Template(_Metering().visit(node), frame)


class _Metering(NodeTransformer):
    """Puts a charge in front of every body that may run again, and around what is as long as its operands."""

    def visit_For(self, node: nodes.For) -> nodes.For:
        self.generic_visit(node)
        if node.test is not None:
            node.test = nodes.And(_charge(node.test), node.test, lineno=node.lineno)
        node.body = _charged(node.body)
        return node

    def _visit_body(self, node: Any) -> nodes.Node:
        self.generic_visit(node)
        node.body = _charged(node.body)
        return node  # type: ignore[no-any-return]

    visit_Macro = visit_CallBlock = visit_Block = _visit_body

    def visit_Concat(self, node: nodes.Concat) -> nodes.Concat:
        self.generic_visit(node)
        node.nodes = [_wrapped(operand, SPEND_ON) for operand in node.nodes]
        return node

    def visit_Compare(self, node: nodes.Compare) -> nodes.Compare:
        self.generic_visit(node)
        operands = [node.expr, *(operand.expr for operand in node.ops)]
        is_searched = any(operand.op in ("in", "notin") for operand in node.ops)
        # A comparison with a constant takes no longer than that is.
        if is_searched or sum(not isinstance(operand, nodes.Const) for operand in operands) > 1:
            node.expr = _wrapped(node.expr, SPEND_ON)
            for operand in node.ops:
                operand.expr = _wrapped(
                    operand.expr, SPEND_ON_TOP if _is_searched_for_text(node) else SPEND_ON
                )
        return node

    def visit_Getitem(self, node: nodes.Getitem) -> nodes.Expr:
        self.generic_visit(node)
        if not isinstance(node.arg, nodes.Slice):
            return node
        if isinstance(node.node, nodes.Const):
            # Python's compiler warns of constants that have no elements.
            node.node = _metered(node.node, SPEND_ON_TOP)
        return _wrapped(node, SPEND_ON_TOP)

    def visit_List(self, node: nodes.List) -> nodes.Expr:
        self.generic_visit(node)
        return _wrapped(node, SPEND_ON_TOP)

    def visit_Tuple(self, node: nodes.Tuple) -> nodes.Expr:
        self.generic_visit(node)
        return _wrapped(node, SPEND_ON) if node.ctx == "load" else node

    def visit_Dict(self, node: nodes.Dict) -> nodes.Expr:
        self.generic_visit(node)
        for pair in node.items:
            pair.key = _wrapped(pair.key, SPEND_ON)
        return _wrapped(node, SPEND_ON_TOP)


def _is_searched_for_text(node: nodes.Compare) -> bool:
    return isinstance(node.expr, nodes.Const) and len(node.ops) == 1


def _wrapped(node: nodes.Expr, name: str) -> nodes.Expr:
    return node if isinstance(node, nodes.Const) else _metered(node, name)


def _metered(node: nodes.Expr, name: str, lineno: int | None = None) -> nodes.Filter:
    return nodes.Filter(node, name, [], [], None, None, lineno=lineno or node.lineno)


def _charge(node: nodes.Node) -> nodes.Filter:
    return _metered(nodes.Const(_num_steps(node)), SPEND, node.lineno)


def _charged(body: list[nodes.Node]) -> list[nodes.Node]:
    line = body[0].lineno if body else 1
    steps = 1 + sum(_num_steps(node) for node in body)
    return [nodes.ExprStmt(_metered(nodes.Const(steps), SPEND, line), lineno=line), *body]


def _num_steps(node: nodes.Node) -> int:
    """Steps of executing a node once: one for each of its nodes, and the text that it prints."""
    text = sum(len(data.data) for data in node.find_all(nodes.TemplateData))
    text += sum(len(data.value) for data in node.find_all(nodes.Const) if isinstance(data.value, str))
    return 1 + sum(1 for _ in node.find_all(nodes.Node)) + text // 8
