"""Random schemas and GBNF grammars: what a random writer makes under them is accepted, or they are refused.

    python tests/fuzz_grammars.py --count 100000

Outputs are checked by the jsonschema package, with numbers as decimals, and by a matcher of its own. Each
batch runs in a process of its own, bounded in time and memory, so that the seed that ends one is told.
"""

from __future__ import annotations

import argparse
import collections
import json
import random
import re
import resource
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, localcontext
from pathlib import Path
from typing import Any

import jsonschema
import llguidance
import numpy as np

from phonelm.engine import Grammar
from phonelm.engine.constraint import new_mask
from random_gbnf import random_gbnf
from random_schemas import whole_schema

END = 256
MAX_BYTES = 200
SECONDS = 60
CLOSERS = frozenset(b'"]},:')


class Bytes:
    """A vocabulary of bytes."""

    is_tokenizer_wrapper = True
    eos_token_id = END
    bos_token_id = None
    tokens = (*(bytes([byte]) for byte in range(256)), b"<end>")
    special_token_ids = (END,)

    def __call__(self, text: str | bytes) -> list[int]:
        return list(text.encode() if isinstance(text, str) else text)


@dataclass(frozen=True)
class ByteTokenizer:
    """As much of a tokenizer as a grammar uses."""

    grammar_vocabulary: Any


TOKENIZER = ByteTokenizer(llguidance.LLTokenizer(Bytes(), eos_token=END))


def written(grammar: Grammar, rng: random.Random) -> str | None:
    """A text of the grammar, by chance; None for one that comes to no end."""
    rule = grammar.constraint(TOKENIZER)  # type: ignore[arg-type]
    mask = new_mask(END + 1)
    taken = bytearray()
    while len(taken) < MAX_BYTES:
        rule.fill_mask(mask)
        allowed = [token for token in range(END + 1) if mask[token // 32] >> (token % 32) & 1]
        if END in allowed and (len(allowed) == 1 or rng.random() < 0.3):
            return taken.decode()
        inner = [token for token in allowed if token < 128] or allowed
        closers = [token for token in inner if token in CLOSERS]
        pool = closers if closers and rng.random() < 0.4 else inner if rng.random() < 0.9 else allowed
        token = rng.choice([one for one in pool if one != END] or [END])
        if token == END:
            return taken.decode()
        taken.append(token)
        rule.accept(token)
    return None


def accepts(grammar: Grammar, text: str) -> bool:
    """Whether the grammar admits a text as a whole."""
    rule = grammar.constraint(TOKENIZER)  # type: ignore[arg-type]
    mask = new_mask(END + 1)
    for token in (*text.encode(), END):
        rule.fill_mask(mask)
        if not mask[token // 32] >> (token % 32) & np.uint32(1):
            return False
        if token != END:
            rule.accept(token)
    return True


def is_integer(checker: object, instance: object) -> bool:
    whole = isinstance(instance, Decimal) and instance == instance.to_integral_value()
    return whole or (isinstance(instance, int) and not isinstance(instance, bool))


def is_number(checker: object, instance: object) -> bool:
    return isinstance(instance, int | Decimal) and not isinstance(instance, bool)


def accepted(schema: dict[str, Any], text: str) -> bool:
    """Whether the jsonschema package accepts a JSON text, with numbers as they are written."""
    exact = json.loads(json.dumps(schema), parse_float=Decimal)
    base = jsonschema.validators.validator_for(exact, default=jsonschema.Draft202012Validator)
    types = base.TYPE_CHECKER.redefine("integer", is_integer).redefine("number", is_number)
    validator = jsonschema.validators.extend(base, type_checker=types)(exact)
    with localcontext() as context:
        context.prec = 800
        return bool(validator.is_valid(json.loads(text, parse_float=Decimal)))


def try_schema(seed: int) -> str:
    """What became of one random schema; raises `AssertionError` for what must not be."""
    rng = random.Random(seed)
    schema = whole_schema(rng)
    try:
        grammar = Grammar.json_schema(schema if rng.random() < 0.5 else json.dumps(schema))
        texts = [written(grammar, rng) for _ in range(4)]
    except ValueError as error:
        return unclear(error) or "refused: " + " ".join(re.findall(r"[a-zA-Z]+", str(error))[2:5])
    ended = {text for text in texts if text is not None}
    try:
        wrong = [text for text in ended if not accepted(schema, text)]
    except Exception as error:  # a reference or a pattern that the checker cannot follow
        return f"not checked: {type(error).__name__}"
    assert not wrong, f"{json.dumps(schema)} made {wrong[0]!r}"
    return "right" if ended else "endless"


def try_gbnf(seed: int) -> str:
    """What became of one random GBNF grammar, compared with a matcher of the same language."""
    rng = random.Random(seed)
    source = random_gbnf(rng)
    try:
        grammar = Grammar.gbnf(source.text)
        texts = [written(grammar, rng) for _ in range(3)]
        admitted = [accepts(grammar, text) for text in source.examples]
    except ValueError as error:
        if re.search(r"cannot go on \((Parser Error|lexer error: too many)", str(error)):
            return unclear(error) or "too complex"
        return unclear(error) or (
            "refused" if source.is_wrong else f"WRONG: refused {source.text!r}: {error}"
        )
    assert not source.is_wrong, f"{source.text!r} is not refused"
    for text in texts:
        assert text is None or source.matches(text), f"{source.text!r} made {text!r}"
    for text, is_admitted in zip(source.examples, admitted, strict=True):
        assert is_admitted == source.matches(text), f"{source.text!r} and {text!r}"
    return "right"


def unclear(error: ValueError) -> str:
    """What is wrong with a message that is not one clear line."""
    message = str(error)
    return "" if "\n" not in message and 0 < len(message) < 600 else f"WRONG: unclear: {message[:300]!r}"


TRIES = {"schema": try_schema, "gbnf": try_gbnf}


def run(kind: str, first: int, count: int) -> collections.Counter[str]:
    """Try seeds one after the other, in this process. A wrong one is printed and counted."""
    found: collections.Counter[str] = collections.Counter()
    for seed in range(first, first + count):
        print(f"seed {seed}", flush=True)
        signal.alarm(SECONDS)
        try:
            outcome = TRIES[kind](seed)
        except BaseException as error:  # a panic of the engine is no Exception
            outcome = f"WRONG: {type(error).__name__}: {str(error)[:2000]}"
        if outcome.startswith("WRONG"):
            print(f"WRONG {kind} {seed}{outcome[5:]}", flush=True)
        found[outcome if not outcome.startswith("WRONG") else "WRONG"] += 1
    signal.alarm(0)
    return found


def run_apart(kind: str, first: int, count: int) -> collections.Counter[str]:
    """Try seeds in processes of their own; one that ends its process is wrong, and the next goes on."""
    found: collections.Counter[str] = collections.Counter()
    while count > 0:
        command = [
            sys.executable,
            __file__,
            "--kind",
            kind,
            "--first",
            str(first),
            "--count",
            str(count),
            "--here",
        ]
        done = subprocess.run(command, capture_output=True, text=True)
        lines = done.stdout.splitlines()
        for line in lines:
            if line.startswith("WRONG"):
                print(line, flush=True)
        if lines and lines[-1].startswith("{"):
            return found + collections.Counter(json.loads(lines[-1]))
        seeds = [int(line.split()[1]) for line in lines if line.startswith("seed ")]
        last = seeds[-1] if seeds else first
        # What the engine finds very ambiguous costs it milliseconds a byte, until it gives up.
        outcome = "slow" if done.returncode == -signal.SIGALRM else "WRONG"
        print(f"{outcome} {kind} {last}: status {done.returncode}", flush=True)
        found[outcome] += 1
        first, count = last + 1, count - (last + 1 - first)
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kind", choices=list(TRIES))
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--count", type=int, default=1000, help="seeds of each kind")
    parser.add_argument("--here", action="store_true", help="in this process")
    options = parser.parse_args(arguments)
    if options.here:
        resource.setrlimit(resource.RLIMIT_AS, (6 * 2**30,) * 2)
        print(json.dumps(run(options.kind, options.first, options.count)))
        return 0
    wrong = 0
    for kind in [options.kind] if options.kind else TRIES:
        found: collections.Counter[str] = collections.Counter()
        for first in range(options.first, options.first + options.count, 500):
            found += run_apart(kind, first, min(500, options.first + options.count - first))
        for outcome, count in found.most_common():
            print(f"{kind:8} {count:7} {outcome}")
        wrong += found["WRONG"]
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    sys.exit(main())
