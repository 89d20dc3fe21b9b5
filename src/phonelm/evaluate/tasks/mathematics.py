"""GSM8K and Minerva's MATH: the model writes a solution, and its last answer is compared.

Prompts are the wheel's: eight worked examples (arXiv 2201.11903) and four (arXiv 2206.14858). What counts as
equal follows the latter's appendix D: units, spaces and decorations are taken off, then texts are compared.
"""

from __future__ import annotations

import re

from phonelm.evaluate.questions import Prompt
from phonelm.evaluate.sets import RequestRows
from phonelm.evaluate.tasks.task import PromptTask, Row

_NUMBER = re.compile(r"-?\$?\d[\d,]*(?:\.\d+)?")
_FINAL = re.compile(r"Final Answer: The final answer is(.*?)\.? I hope it is correct", re.DOTALL)
_UNITS = (
    "square|ways|integers|dollars|mph|inches|ft|hours|km|units|points|feet|minutes|digits|cents|degrees|cm|gm|"
    "pounds|meters|meals|edges|students|tickets|multiples"
)
_DECORATIONS = (
    "\\ldots", "\\dots", "\\text{.}", "\\text{}^2", "\\text{}^3", "\\text{}", "\\mathrm{th}", "^\\circ",
    "^{\\circ}", "\\;", ",\\!", "{,}", '"',
)  # fmt: skip


def _gsm8k(row: Row) -> Prompt:
    return Prompt(row["request"]["context"], ("Question:", "\n\n"), 256, row["short_answer"])


def _last_number(text: str) -> str:
    found = _NUMBER.findall(text)
    return found[-1].replace("$", "").replace(",", "") if found else ""


def same_number(written: str, answer: str) -> bool:
    """Whether the last number of a text is the answer."""
    number = _last_number(written)
    return bool(number) and float(number) == float(answer.replace(",", ""))


def _minerva(row: Row) -> Prompt:
    return Prompt(row["request"]["context"], ("Problem:", "\n\n"), 512, row["answer"])


def plain_answer(text: str) -> str:
    """A final answer without units, spaces and decorations, fractions and roots with braces."""
    text = re.sub(rf"(?<!\\)\b({_UNITS}|an?)\b", "", text.split("=")[-1])
    for old, new in (
        (".$", "$"),
        ("\\$", ""),
        ("\\ ", ""),
        (" ", ""),
        ("mbox", "text"),
        ("\\text{and}", ","),
    ):
        text = text.replace(old, new)
    for decoration in _DECORATIONS:
        text = text.replace(decoration, "")
    text = re.sub(r"(.*?)\$(.*?)\$(.*)", r"\2", text)
    text = re.sub(r"\\(?:text|textbf|overline|boxed)\{(.*?)\}", r"\1", text)
    text = re.sub(r"frac([^{])(.)", r"frac{\1}{\2}", text)
    text = re.sub(r"sqrt([^{\[])", r"sqrt{\1}", text).replace("$", "")
    return text.replace(",", "") if text.replace(",", "").isdigit() else text


def same_answer(written: str, answer: str) -> bool:
    """Whether a text's stated final answer is the answer, both made plain."""
    found = _FINAL.search(written + " I hope it is correct")
    return found is not None and plain_answer(found[1].strip()) == plain_answer(answer)


_SUBJECTS = (
    "algebra counting_and_probability geometry intermediate_algebra number_theory prealgebra precalculus"
)

MATHEMATICS_TASKS = (
    PromptTask(
        "gsm8k",
        3.0,
        RequestRows("gsm8k/gold_bpb_5shot"),
        _gsm8k,
        same_number,
        "eight worked examples; the last number of what is written",
        8,
    ),
    *(
        PromptTask(
            f"minerva_math_{subject}",
            3.1,
            RequestRows(f"minerva_math_{subject}/gold_bpb_0shot"),
            _minerva,
            same_answer,
            "four worked examples; the stated final answer, made plain",
            4,
        )
        for subject in _SUBJECTS.split()
    ),
)
