"""xllamacpp: llama.cpp as a Python wheel built for any x86-64 (it picks kernels at run time)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from peers.environment import install
from peers.peer import Peer, answer, peak_bytes

VERSION = "2026.10.11549"


def set_up(place: Path) -> None:
    install(place, f"xllamacpp=={VERSION}")


def work(job: dict[str, Any]) -> dict[str, Any]:
    """Speeds come from the server's own `timings`."""
    server = _server(job)
    _ask(server, job["warm_up"], 8)
    prefill, after_prompt = _speeds(server, job["prompt"], job["generate"])
    peak = peak_bytes()
    _, decode = _speeds(server, job["short_prompt"], job["generate"])
    speeds = {"prefill": prefill, "decode": decode, "decode_after_prompt": after_prompt}
    return {"speeds": speeds, "peak_bytes": peak, "tokens": _tokens(server, job)}


def _server(job: dict[str, Any]) -> Any:
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = job["path"]
    longest = max(len(job["prompt"]) + job["generate"], len(job["text_prompt"]) + job["text_tokens"])
    params.n_ctx = longest + 1
    params.n_parallel = 1
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = job["threads"]
    params.cache_prompt = False
    params.cache_ram_mib = 0
    return xllamacpp.Server(params)


def _ask(server: Any, prompt: list[int], generate: int, **more: Any) -> dict[str, Any]:
    request = {"prompt": prompt, "n_predict": generate, "ignore_eos": True, "temperature": 0}
    done: dict[str, Any] = server.handle_completions({**request, "cache_prompt": False, **more})
    return done


def _speeds(server: Any, prompt: list[int], generate: int) -> tuple[float, float]:
    """Tokens a second of prompt and answer."""
    # Its clock for the answer starts with the token that the prompt gave: one more makes `generate` steps.
    timings = _ask(server, prompt, generate + 1)["timings"]
    if (timings["prompt_n"], timings["predicted_n"]) != (len(prompt), generate + 1):
        raise RuntimeError(f"it counted other tokens than were asked for: {timings}")
    return timings["prompt_per_second"], generate * 1e3 / timings["predicted_ms"]


def _tokens(server: Any, job: dict[str, Any]) -> list[int]:
    if not job["text_prompt"]:
        return []
    done = _ask(server, job["text_prompt"], job["text_tokens"], logprobs=1)
    return [token["id"] for token in done["choices"][0]["logprobs"]["content"]]


WHEEL = Peer("xllamacpp", VERSION, "peers.xllamacpp", "half a minute, 0.2 GB", set_up)

if __name__ == "__main__":
    answer(work)
