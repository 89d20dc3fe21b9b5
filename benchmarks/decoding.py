"""What constrained decoding and look-up cost and give: decode speed with and without them, in turn.

MODEL is what benchmarks/runtime.py takes; smollm2-135m-instruct and phonelm-1.5b-shape if not given. Of a
model with random weights only the cost on texts that do not repeat is told.

mask      the same number of tokens of a JSON list of objects: every token drawn under the grammar's mask, and
          as it is used, with the tokens that the grammar forces evaluated together
lookup    greedy text from texts/*.txt: a code edit and a summary with quotes, which repeat their prompt, and
          two free texts, which do not; the share of the drafted tokens that held, and whether the text is the
          same

Speeds are tokens per second after the first token, the best of the rounds, and the ratio is theirs.
Prints a table; with --json it goes to standard error and one document, {made, machine, rows}, to standard
output. Ends with 1 when look-up changed a text.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from measures import models, tables

from phonelm import Grammar, Model, _native, load
from phonelm.devices import machine_record
from phonelm.engine import Constraint, Generation
from phonelm.files import provenance

Job = dict[str, Any]
DEFAULT = (models.REAL, "phonelm-1.5b-shape")
TEXTS = Path(__file__).parent / "texts"
REPEATING = ("code_edit", "summary")
FREE = ("free_text", "explanation")
ENDS = ("\nBefore:", "\nText:")
"""Where an answer to one of the texts is over."""
ITEM = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "price": {"type": "number"},
        "in_stock": {"type": "boolean"},
        "colours": {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": 4},
    },
    "required": ["name", "price", "in_stock", "colours"],
    "additionalProperties": False,
}
LIST = {"type": "array", "items": ITEM, "minItems": 1000}
LIST_PROMPT = "The goods of a garden shop as JSON:\n"


def main() -> int:
    args = _arguments()
    try:
        paths = {model: models.find(model) for model in args.models}
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    rows: list[Job] = []
    for name, path in paths.items():
        with load(path, num_threads=args.threads) as model:
            rows += measured(model, name, args.generate, args.rounds)
    machine = machine_record()
    document = {"made": provenance(config=vars(args)), "machine": machine, "rows": rows}
    tables.show_decoding(document, on_stderr=args.json)
    if args.json:
        print(json.dumps(document))
    return 0 if all(row["same_text"] is not False for row in rows) else 1


def measured(model: Model, name: str, num_tokens: int, rounds: int) -> list[Job]:
    """All rows of a model."""
    tasks = FREE if models.is_random(name) else REPEATING + FREE
    rows = [] if models.is_random(name) else mask_rows(model, num_tokens, rounds)
    rows += [lookup_row(model, task, num_tokens, rounds) for task in tasks]
    facts = {"model": name, "isa": model.native.isa, "threads": model.native.decode_threads}
    return [{**facts, **row} for row in rows]


def mask_rows(model: Model, num_tokens: int, rounds: int) -> list[Job]:
    """Under the mask alone, and as used; texts differ from those without, their lengths do not."""
    grammar = Grammar.json_schema(LIST)

    def generate(make: Callable[[], Constraint] | None) -> Generation:
        constraint = make() if make else None
        return model.generate(LIST_PROMPT, max_tokens=num_tokens, constraint=constraint)

    ways = {
        "without": lambda: generate(None),
        "mask": lambda: generate(lambda: Unforced(grammar.constraint(model.tokenizer))),
        "mask and forced tokens": lambda: generate(lambda: grammar.constraint(model.tokenizer)),
    }
    runs = in_turn(ways, rounds, "mask")
    return [
        {"task": f"JSON list, {way}", "same_text": None, **compared(runs["without"], runs[way])}
        for way in list(ways)[1:]
    ]


def lookup_row(model: Model, task: str, num_tokens: int, rounds: int) -> Job:
    """Greedy text with look-up and without."""
    prompt = (TEXTS / f"{task}.txt").read_text().rstrip("\n")

    def generate(lookup: bool) -> Generation:
        return model.generate(prompt, max_tokens=num_tokens, stop=ENDS, lookup=lookup)

    runs = in_turn({"without": lambda: generate(False), "lookup": lambda: generate(True)}, rounds, task)
    texts = [run.tokens for way in runs.values() for run in way]
    last = runs["lookup"][-1]
    return {
        "task": f"look-up, {task}",
        **compared(runs["without"], runs["lookup"]),
        "drafted": last.drafted_tokens,
        "acceptance": round(last.acceptance_rate, 2),
        "same_text": all(text == texts[0] for text in texts),
    }


def in_turn(ways: dict[str, Callable[[], Generation]], rounds: int, what: str) -> dict[str, list[Generation]]:
    """Run each way in every round, after one round that is not kept."""
    runs: dict[str, list[Generation]] = {way: [] for way in ways}
    for number in range(rounds + 1):
        print(f"{what}, round {number or 'to warm up'}", file=sys.stderr)
        for way, start in ways.items():
            run = start()
            "".join(run)
            if number:
                runs[way].append(run)
    return runs


def compared(without: Sequence[Generation], runs: Sequence[Generation]) -> Job:
    """Both speeds and their ratio, of the best round each: what else the machine does only takes away."""
    best, best_without = (max(run.decode_tokens_per_s for run in way) for way in (runs, without))
    return {
        "tokens": len(runs[-1].tokens),
        "without_tok_s": round(best_without, 1),
        "tok_s": round(best, 1),
        "ratio": round(best / best_without, 3),
    }


class Unforced:
    """A constraint that leaves every token to the mask."""

    def __init__(self, inner: Constraint) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    @property
    def is_finished(self) -> bool:
        """As the grammar says."""
        return self._inner.is_finished

    def forced(self) -> list[int]:
        """None."""
        return []


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", nargs="*", default=list(DEFAULT), metavar="MODEL")
    parser.add_argument("--threads", type=int, default=_native.cpu_info()["num_cores"], help="one per core")
    parser.add_argument("--generate", type=int, default=128, help="tokens")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    if min(args.threads, args.generate - 1, args.rounds) < 1:
        parser.error("threads and rounds are 1 or more, tokens 2 or more")
    return args


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("interrupted")
