"""Random command lines: each does its work or is refused in one clear line, within seconds.

    python tests/fuzz_options.py --count 100000

Lines run in one process after the other, so that a seed that ends its process or its time is told. Verbs that
measure or train for minutes get no source that exists, nowhere to write to: they read their options and end.
"""

from __future__ import annotations

import argparse
import collections
import os
import random
import re
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from phonelm import cli
from phonelm.cli import load_verb, main
from phonelm.formats import write_random_gguf
from shapes import TINY

WORKING = (
    *("generate", "chat", "tokenize", "quantize", "import", "models", "show", "rm", "pull", "perplexity"),
    "compare",
)
READING = ("evaluate", "bench", "survey", "profile", "search", "data", "train", "tune", "build")
WORDS = (
    *("", " ", "-", "--", "0", "1", "2", "-1", "0.5", "1e3", "1e308", "1e400", "-inf", "inf", "nan", "none"),
    *("2147483648", "4294967296", "9223372036854775807", "9223372036854775808", "-9223372036854775809"),
    *("1" * 400, "0x10", "1_000", "１", "true", "f16", "q8_0", "q4_k_m", "a", "a,b", "1,2", "1.5B", "é😀"),
    *("\udcff", "\n", "a\tb", "%s", "{}", "{", "[]", '{"a": 1}', "null", "5+1", "5-inf", "x" * 5000, "../x"),
    *("owner/repository", "owner/repository:Q4_K_M", "/", "/dev/null", "/nowhere/x", "~", "~nobody/x"),
)
SECONDS = 20  # of CPU time, and of a busy machine's time ten times as many
BATCH = 500


def line_of(rng: random.Random, folder: Path) -> list[str]:
    """One command line: a verb, values for some options, and odd words."""
    verb = rng.choice(WORKING * 3 + READING)
    model = str(folder / "model.gguf") if verb in WORKING else "/nowhere/model"
    places = [model] * 6 + [str(folder), str(folder / "none"), str(folder / "text")]

    def word() -> str:
        return rng.choice(places) if rng.random() < 0.2 else rng.choice(WORDS)

    words = [verb]
    for parameter in load_verb(verb).params:
        if parameter.param_type_name == "argument":
            words.append(model if rng.random() < 0.9 else word())
        elif rng.random() < 0.15 and not {"--help", "--model"} & set(parameter.opts):
            words += _option(rng, parameter, word)
    if verb == "quantize" and rng.random() < 0.9:
        words += ["-o", str(folder / "out.gguf")]
    if verb == "import" and rng.random() < 0.5:
        words[2] = str(folder / "imported")
    if verb in ("perplexity", "compare") and rng.random() < 0.9:
        words += ["--text", str(folder / "text")]
    if verb in READING and verb != "evaluate":
        words += ["--out", "/dev/null/none"]
    if verb == "chat" and rng.random() < 0.5:
        words += ["-p", word()]
    if rng.random() < 0.05:
        words.insert(rng.randrange(len(words) + 1), word())
    return words


def _option(rng: random.Random, parameter: Any, word: Callable[[], str]) -> list[str]:
    name = rng.choice(parameter.opts)
    if getattr(parameter, "is_flag", False):
        return [name]
    value = word()
    return [f"{name}={value}"] if rng.random() < 0.3 and name.startswith("--") else [name, value]


def outcome(words: list[str], folder: Path) -> str:
    """Run one command line here; raises `AssertionError` for what must not be."""
    with open(folder / "out", "w+b") as out, open(folder / "err", "w+b") as err:
        os.dup2(out.fileno(), 1)
        os.dup2(err.fileno(), 2)
        os.dup2(os.open(folder / "text", os.O_RDONLY), 0)
        sys.stdin, sys.stdout, sys.stderr = (
            os.fdopen(os.dup(number), mode, errors="surrogateescape")
            for number, mode in ((0, "r"), (1, "w"), (2, "w"))
        )
        sys.argv = ["phonelm", *words]
        signal.setitimer(signal.ITIMER_PROF, SECONDS)
        signal.alarm(10 * SECONDS)
        try:
            main()
        except SystemExit as end:
            code = end.code
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
            signal.alarm(0)
            for stream in (sys.stdout, sys.stderr, sys.stdin):
                stream.close()
        err.seek(0)
        said = err.read().decode(errors="replace")
    assert code in (0, 1, 2), f"exit code {code}"
    assert "Traceback" not in said, said
    assert "internal error" not in said, said
    last = said.rstrip("\n").rsplit("\n", 1)[-1]
    if code:
        assert re.search(r"\w+ \w+", last), f"nothing is said: {said!r}"
    return f"{words[0]} {code}"


def run_batch(seeds: range, folder: Path, log: int) -> None:
    """Run seeds in this process; each seed is written before it runs, and its outcome after."""
    for seed in seeds:
        words = line_of(random.Random(seed), folder)
        words = [word.replace("\0", "") for word in words]
        os.write(log, f"seed {seed}\n".encode())
        try:
            text = outcome(words, folder)
        except BaseException as error:  # what escapes is the finding
            text = f"WRONG {error!r:.1500} from {words!r:.1500}"
        os.write(log, (text.replace("\n", "\\n") + "\n").encode(errors="replace"))


def batch_in_child(seeds: range, folder: Path) -> tuple[list[str], int]:
    """Outcomes of a batch that runs in a process of its own, and the seed to go on with."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        os.environ |= {"PHONELM_CACHE": str(folder / "cache"), "HF_HUB_OFFLINE": "1", "HOME": str(folder)}
        os.chdir(folder)
        try:
            run_batch(seeds, folder, writer)
        except BaseException as error:
            os.write(writer, f"WRONG {error!r}\n".encode())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, errors="replace") as stream:
        lines = stream.read().splitlines()
    _, status = os.waitpid(child, 0)
    outcomes = [line for line in lines if not line.startswith("seed ")]
    started = [int(line[5:]) for line in lines if line.startswith("seed ")]
    if len(outcomes) == len(started) and started and started[-1] == seeds[-1]:
        return outcomes, seeds.stop
    words = line_of(random.Random(started[-1]), folder)
    return [*outcomes, f"WRONG status {status} from {words!r:.1500}"], started[-1] + 1


def run() -> int:
    """Run all batches, print what became of the lines, and return how many went wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--first", type=int, default=0)
    given = parser.parse_args()
    assert set(WORKING + READING) == set(cli.VERBS)
    found: collections.Counter[str] = collections.Counter()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_random_gguf(folder / "model.gguf", TINY, block_type="q8_0", embedding_type="q8_0", seed=1)
        (folder / "text").write_text("first line\n/help\n/set temperature 2\n\n/tokens\n/save x\nlast")
        at = given.first
        while at < given.first + given.count:
            outcomes, at = batch_in_child(range(at, min(at + BATCH, given.first + given.count)), folder)
            for text in outcomes:
                found[text.split(" from ")[0][:200] if text.startswith("WRONG") else text] += 1
                if text.startswith("WRONG"):
                    print(text, flush=True)
            if not (folder / "model.gguf").exists():
                print("WRONG: the model is gone", flush=True)
                write_random_gguf(
                    folder / "model.gguf", TINY, block_type="q8_0", embedding_type="q8_0", seed=1
                )
    for text, count in sorted(found.items()):
        print(f"{count:7d}  {text}")
    return sum(count for text, count in found.items() if text.startswith("WRONG"))


if __name__ == "__main__":
    sys.exit(1 if run() else 0)
