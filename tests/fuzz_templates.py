"""Random chat templates, some of them without end: each gives a text or one clear line, in bounded time.

    python tests/fuzz_templates.py --count 100000

Each batch runs in a process of its own, bounded in memory and in processor seconds per template.
"""

from __future__ import annotations

import argparse
import collections
import json
import resource
import signal
import subprocess
import sys
from pathlib import Path

from phonelm.engine.chat_template import ChatTemplate
from template_fuzz import Templates

BATCH = 250
SECONDS = 30
MEMORY_BYTES = 2**30
HI = [{"role": "user", "content": "hi"}]


def outcome_of(source: str) -> str:
    """Render a template and say what became of it."""
    try:
        ChatTemplate(source).render(HI)
    except ValueError as error:
        line = str(error)
        if "\n" in line or len(line) >= 1000:
            return "WRONG: not one clear line"
        return "refused: too many steps" if "steps" in line else "refused"
    return "a text"


def run_here(first: int, count: int) -> None:
    """Render the templates of some seeds in this process, with its limits."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    for seed in range(first, first + count):
        # Of the processor, not of the clock: others may keep it busy.
        signal.setitimer(signal.ITIMER_PROF, SECONDS)
        try:
            outcome = outcome_of(Templates(seed).template())
        except BaseException as error:
            outcome = f"WRONG: {type(error).__name__}"
        print(json.dumps([seed, outcome]), flush=True)


def run_apart(first: int, count: int) -> collections.Counter[str]:
    """Render them in processes of their own; the seed that ends one is wrong, and the next goes on."""
    found: collections.Counter[str] = collections.Counter()
    end = first + count
    while first < end:
        command = [sys.executable, __file__, "--first", str(first), "--count", str(end - first), "--here"]
        done = subprocess.run(command, capture_output=True, text=True)
        rows = [json.loads(line) for line in done.stdout.splitlines()]
        first += len(rows)
        if first < end:
            rows.append([first, f"WRONG: status {done.returncode} {done.stderr[-300:]}"])
            first += 1
        for seed, outcome in rows:
            found[outcome] += 1
            if outcome.startswith("WRONG"):
                print(f"{outcome} from seed {seed}", flush=True)
    return found


def main() -> int:
    """Run all batches and print what became of the templates."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--here", action="store_true", help="in this process")
    options = parser.parse_args()
    if options.here:
        run_here(options.first, options.count)
        return 0
    found: collections.Counter[str] = collections.Counter()
    end = options.first + options.count
    for first in range(options.first, end, BATCH):
        found += run_apart(first, min(BATCH, end - first))
    for outcome, count in found.most_common():
        print(f"{count:7d}  {outcome}")
    return 1 if any(outcome.startswith("WRONG") for outcome in found) else 0


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    sys.exit(main())
