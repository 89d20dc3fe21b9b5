"""MMLU's 57 subjects, in the prompt form of lm-evaluation-harness 0.4.13 (MIT)."""

from __future__ import annotations

from phonelm.evaluate.sets import ArrowRows
from phonelm.evaluate.tasks.task import ChoiceTask, Form, Row

_SUBJECTS = """
abstract_algebra anatomy astronomy business_ethics clinical_knowledge college_biology college_chemistry
college_computer_science college_mathematics college_medicine college_physics computer_security
conceptual_physics econometrics electrical_engineering elementary_mathematics formal_logic global_facts
high_school_biology high_school_chemistry high_school_computer_science high_school_european_history
high_school_geography high_school_government_and_politics high_school_macroeconomics
high_school_mathematics high_school_microeconomics high_school_physics high_school_psychology
high_school_statistics high_school_us_history high_school_world_history human_aging human_sexuality
international_law jurisprudence logical_fallacies machine_learning management marketing medical_genetics
miscellaneous moral_disputes moral_scenarios nutrition philosophy prehistory professional_accounting
professional_law professional_medicine professional_psychology public_relations security_studies
sociology us_foreign_policy virology world_religions
"""


def _form(row: Row) -> Form:
    lettered = zip("ABCD", row["choices"], strict=True)
    listed = "\n".join(f"{letter}. {text}" for letter, text in lettered)
    return Form.of(f"{row['question'].strip()}\n{listed}\nAnswer:", list("ABCD"), int(row["answer"]))


def _rows(subject: str, split: str) -> ArrowRows:
    return ArrowRows(f"hails/mmlu_no_train/{subject}/{split}/data-00000-of-00001.arrow")


MMLU_TASKS = tuple(
    ChoiceTask(
        f"mmlu_{subject}",
        1.0,
        _rows(subject, "test"),
        _form,
        ("acc",),
        "the question, lettered choices, Answer: letter",
        examples=_rows(subject, "dev"),
        takes_first_examples=True,
        description=(
            "The following are multiple choice questions (with answers) about "
            f"{subject.replace('_', ' ')}.\n\n"
        ),
    )
    for subject in _SUBJECTS.split()
)
