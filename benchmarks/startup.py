"""How long the command takes to start: `phonelm --help`, and the first token of `phonelm generate`.

MODEL is a GGUF file or a known name (default: smollm2-135m-instruct). Each command runs in a process of its
own, once to warm the page cache and then --rounds times. Prints median and range in seconds beside the limit
(0.15 s and 0.5 s), or with --json one document; exits 1 where a median is above its limit.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from typing import Any

from phonelm.devices import machine_record
from phonelm.files import provenance

COMMAND = [sys.executable, "-c", "from phonelm.cli import main; main()"]
HELP_LIMIT_S, FIRST_TOKEN_LIMIT_S = 0.15, 0.5


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", nargs="?", default="smollm2-135m-instruct", metavar="MODEL")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    machine = machine_record()
    generate = ["generate", args.model, "--prompt", "Once upon a time", "--max-tokens", "8"]
    document: dict[str, Any] = {
        "made": provenance(config=vars(args)),
        "machine": machine,
        "help": measured(["--help"], args.rounds, HELP_LIMIT_S),
        "first_token": measured(generate, args.rounds, FIRST_TOKEN_LIMIT_S),
    }
    if args.json:
        print(json.dumps(document))
    else:
        print(f"machine: {json.dumps(machine)}")
        for name in ("help", "first_token"):
            print(f"{name}: {json.dumps(document[name])}")
    return int(
        any(document[name]["median_s"] > document[name]["limit_s"] for name in ("help", "first_token"))
    )


def measured(arguments: list[str], rounds: int, limit_s: float) -> dict[str, float]:
    """Median and range of the seconds to the first byte."""
    seconds_to_first_byte(arguments)
    times = sorted(seconds_to_first_byte(arguments) for _ in range(rounds))
    return {
        "median_s": round(statistics.median(times), 3),
        "low_s": round(times[0], 3),
        "high_s": round(times[-1], 3),
        "limit_s": limit_s,
    }


def seconds_to_first_byte(arguments: list[str]) -> float:
    """From the start of the process to the first byte of its standard output; raises where it fails."""
    begin = time.perf_counter()
    with subprocess.Popen([*COMMAND, *arguments], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.read(1)
        seconds = time.perf_counter() - begin
        process.stdout.read()
    if process.returncode != 0:
        raise subprocess.CalledProcessError(process.returncode, process.args)
    return seconds


if __name__ == "__main__":
    sys.exit(main())
