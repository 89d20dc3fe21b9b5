"""Rows of each set, made up, with the fields of the originals."""

from __future__ import annotations

from typing import Any

ROWS: dict[str, list[dict[str, Any]]] = {
    "hellaswag": [
        {
            "ind": 1,
            "activity_label": "Baking a pie",
            "ctx_a": "A cook [title] kneads  dough.",
            "ctx_b": "the COOK",
            "endings": ["rolls it [step] out.", "swims.", "flies away  now.", " sings."],
            "label": "2",
        },
    ],
    "winogrande": [
        {
            "sentence": "The cup fell off the desk as _ was small.",
            "option1": "cup",
            "option2": "desk",
            "answer": "2",
        }
    ],
    "piqa": [{"goal": "Open a jar.", "sol1": "Twist its lid.", "sol2": "Shout at it.", "label": 0}],
    "sciq": [
        {
            "question": "What do plants breathe in?",
            "distractor3": "neon",
            "distractor1": "helium",
            "distractor2": "gold",
            "correct_answer": "carbon dioxide",
            "support": " Plants take in a gas.",
        }
    ],
    "boolq": [{"question": "is ice water", "answer": True, "passage": "Ice is frozen water."}],
    "arc_easy": [
        {"id": "a", "query": "Question: Is it hot?\nAnswer:", "choices": ["yes", "no", "maybe"], "gold": 1},
    ],
    "openbookqa": [
        {
            "id": "1",
            "question_stem": "The sun is a",
            "choices": {"text": ["star", "lamp", "cat", "stone"], "label": ["A", "B", "C", "D"]},
            "answerKey": "A",
        }
    ],
    "commonsense_qa": [
        {
            "id": "1",
            "question": " Where is a book kept? ",
            "question_concept": "book",
            "choices": {"label": list("ABCDE"), "text": ["shelf", "sea", "sun", "soup", "sock"]},
            "answerKey": "A",
        }
    ],
    "mmlu_us_foreign_policy": [
        {"question": "Who decides? ", "subject": "x", "choices": ["a", "b", "c", "d"], "answer": 3},
    ],
    "truthfulqa_mc2": [
        {
            "question": "Is the earth flat?",
            "mc1_targets": {"choices": ["No", "Yes"], "labels": [1, 0]},
            "mc2_targets": {"choices": ["No", "It is round", "Yes"], "labels": [1, 1, 0]},
        }
    ],
}
ROWS["arc_challenge"] = ROWS["arc_easy"]
