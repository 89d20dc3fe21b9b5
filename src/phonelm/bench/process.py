"""Measures a model in a separate process, so that the peak memory is that of the model."""

from __future__ import annotations

import contextlib
import os
import pickle
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from phonelm.bench.limits import with_limits
from phonelm.bench.memory import rss_bytes
from phonelm.bench.result import BenchResult
from phonelm.bench.speed import time_model

_SIGKILL = 9
_Answer = TypeVar("_Answer")


def measure_file(
    path: Path | str,
    prompt_tokens: int = 512,
    generate: int = 128,
    repeats: int = 3,
    num_threads: int | None = None,
    isa: str | None = None,
    sparse_ffn: bool = True,
    kv_type: str = "f16",
) -> BenchResult:
    """Load and measure a model in a separate process, which ends when this call does, however that ends.

    Options as in `load` and `measure`.
    Raises `ValueError` and `OSError` as `load` and `measure` do, `MemoryError` when the process was killed.
    """
    from phonelm.engine import resolve

    load_options = {
        "num_threads": num_threads,
        "isa": isa,
        "sparse_ffn": sparse_ffn,
        "kv_type": kv_type,
        # What does not fit into memory together with its keys and values is refused before it is read.
        "context_length": prompt_tokens + generate,
    }
    return in_own_process(_load_and_measure, resolve(path), load_options, (prompt_tokens, generate, repeats))


def in_own_process(function: Callable[..., _Answer], path: Path, *arguments: Any) -> _Answer:
    """Call a module's function with a model's path and more in a process that ends when this call does.

    Raises what the function raises, and `MemoryError` when the process was killed.
    """
    answer = _ask_worker((function, path, *arguments))
    if isinstance(answer, BaseException):
        raise answer
    return answer  # type: ignore[no-any-return]


def _ask_worker(job: Any) -> Any:
    # In a session of its own, so that Ctrl-C reaches only this process, which then ends the other.
    process = subprocess.Popen(
        [sys.executable, "-c", "from phonelm.bench.process import work; work()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        start_new_session=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    with process:
        try:
            with contextlib.suppress(BrokenPipeError):
                process.stdin.write(pickle.dumps(job))
                process.stdin.flush()
            answer = process.stdout.read()
            code = process.wait()
        finally:
            process.kill()
    if code == -_SIGKILL:
        raise MemoryError(f"the process that measured {job[1]} was killed")
    if code != 0:
        raise RuntimeError(f"the process that measured {job[1]} ended with {code}")
    return pickle.loads(answer)


def work() -> None:
    """Do the job on standard input; the answer, a result or an exception, goes to standard output."""
    try:
        function, *arguments = pickle.load(sys.stdin.buffer)
    except EOFError:  # the other process ended before it had asked for anything
        return
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        answer: Any = function(*arguments)
    except Exception as error:
        if os.environ.get("PHONELM_DEBUG"):
            traceback.print_exc()
        answer = _portable(error)
    sys.stdout.buffer.write(pickle.dumps(answer))


def _end_with_parent() -> None:
    """The pipe closes when the other process is gone, even one that was killed."""
    os.read(sys.stdin.fileno(), 1)
    os._exit(1)


def _load_and_measure(path: Path, load_options: dict[str, Any], counts: tuple[int, int, int]) -> BenchResult:
    from phonelm import _native, formats  # noqa: F401  (part of the base, not of the model)
    from phonelm.engine import load

    base_bytes = rss_bytes()
    start = time.perf_counter()
    with load(path, **load_options) as model:
        load_s = time.perf_counter() - start
        timing = time_model(model, *counts, load_s, base_bytes)
    # The weights are gone: the bytes that are read next need their room.
    return with_limits(timing)


def _portable(error: Exception) -> Exception:
    """The error, or its text where it cannot travel (pydantic's)."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        kind = ValueError if isinstance(error, ValueError) else RuntimeError
        return kind(f"{type(error).__name__}: {error}")
    return error
