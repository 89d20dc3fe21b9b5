"""Speed and memory of this runtime and of its peers: llama.cpp built for this processor, its wheel, OpenVINO.

MODEL is a GGUF file, a known name, or a file that is made here once: smollm2-135m-instruct-q4_0 (real
weights), phonelm-0.5b-shape and phonelm-1.5b-shape (random ones), which are the default. Peers are set up in
the cache folder on first use; one that cannot be, or cannot read a model, is left out and named. All get the
same file and number of threads, and prompts of random tokens that share no prefix; the rounds take them in
turn, each in a process of its own, and the output is checked while it is timed.

sections (--only):
  peers     prefill, decode from a short context, decode after the prompt; beside what the machine allows
  threads   more threads than cores (first MODEL)
  load      seconds from loading to the first token, and memory (last MODEL)
  scoring   many short sequences at once, against the prefill rate (first MODEL)
  sparse    PhoneLM-1.5B's own ReLU decoder with 90 % dead neurons: skipped, and not

Prints tables; with --json they go to standard error and one document, {made, machine, rows, left_out, checks,
failed} and one key a further section, to standard output. Ends with 1 when a section failed or our own output
was wrong.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from measures import load, models, scoring, sparse, speed, tables, threads
from measures.process import WorkerError
from measures.settings import Settings
from peers import PEERS

from phonelm import _native
from phonelm.devices import machine_record
from phonelm.files import provenance

SECTIONS = ("peers", "threads", "load", "scoring", "sparse")


def main() -> int:
    args = _arguments()
    try:
        paths = {model: models.find(model) for model in args.models}
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    document = _measured(args, paths)
    tables.show(document, on_stderr=args.json)
    if args.json:
        print(json.dumps(document))
    checks = [check for by_threads in document["checks"].values() for check in by_threads.values()]
    return 1 if document["failed"] or not all(check["passed"] for check in checks) else 0


def _arguments() -> argparse.Namespace:
    cores = _native.cpu_info()["num_cores"]
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", nargs="*", default=list(models.DEFAULT), metavar="MODEL")
    parser.add_argument("--threads", type=_count, nargs="+", default=[cores], help="one per core")
    parser.add_argument("--prompt", type=_count, default=512)
    parser.add_argument("--generate", type=_count, default=128)
    parser.add_argument("--rounds", type=_count, default=3)
    parser.add_argument("--peers", nargs="*", choices=PEERS, default=list(PEERS), metavar="PEER",
                        help=f"of {', '.join(PEERS)}; none after --peers: ours alone")  # fmt: skip
    parser.add_argument("--only", type=_sections, default=SECTIONS, metavar="SECTION,...")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 up")
    return int(text)


def _sections(text: str) -> tuple[str, ...]:
    names = tuple(text.split(","))
    if unknown := [name for name in names if name not in SECTIONS]:
        raise argparse.ArgumentTypeError(f"no section {unknown[0]!r}; there are {', '.join(SECTIONS)}")
    return names


def _measured(args: argparse.Namespace, paths: dict[str, Path]) -> dict[str, Any]:
    """All sections asked for, in one document."""
    info = _native.cpu_info()
    settings = Settings(args.prompt, args.generate, args.rounds, info["num_cores"])
    config = {key: getattr(args, key) for key in ("models", "threads", "prompt", "generate", "rounds")}
    outcome = speed.Outcome()
    sections = _run_sections(args, paths, settings, outcome)
    return {
        "made": provenance(config=config),
        "machine": machine_record(),
        "rows": outcome.rows,
        "left_out": outcome.left_out,
        "checks": outcome.checks,
        **sections,
    }


def _run_sections(
    args: argparse.Namespace, paths: dict[str, Path], settings: Settings, outcome: speed.Outcome
) -> dict[str, Any]:
    """What the sections found, the first one in `outcome`; one that fails is named, and the others go on."""
    first, last, num_threads = args.models[0], args.models[-1], args.threads[0]
    sections: dict[str, Callable[[], Any]] = {
        "peers": lambda: speed.measure(paths, args.threads, settings, args.peers, outcome),
        "threads": lambda: threads.measure(first, paths[first], settings),
        "load": lambda: load.measure(last, paths[last], num_threads, settings),
        "scoring": lambda: scoring.measure(first, paths[first], num_threads, settings),
        "sparse": lambda: sparse.measure(num_threads, settings),
    }
    found: dict[str, Any] = {"failed": {}}
    for name in args.only:
        try:
            found[name] = sections[name]()
        except (WorkerError, OSError, ValueError) as error:
            print(f"{name}: {error}", file=sys.stderr)
            found["failed"][name] = str(error)
    found.pop("peers", None)
    return found


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("interrupted")
