"""Where the trainings of a study run: in processes of this machine, or on a Ray cluster."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, Literal

from phonelm.search.quality.runs import RunRecord, Task, train_run

ExecutorName = Literal["local", "ray"]
_GRACE_S = 60.0
"""A step of a large model may take long, and a worker saves after it."""


def run_all(tasks: Sequence[Task], executor: ExecutorName, workers: int) -> Iterator[RunRecord]:
    """Train all tasks and yield each record when it is there, in whatever order.

    `workers` is the number of local processes; Ray takes as many as its cluster holds. A failed training
    raises its `ValueError`; whatever ends the iteration early stops the other trainings, which save first.
    """
    yield from run_with_ray(tasks) if executor == "ray" else run_locally(tasks, workers)


def run_locally(tasks: Sequence[Task], workers: int) -> Iterator[RunRecord]:
    """Processes of this machine, each of which takes the next task when it is done with one."""
    context = multiprocessing.get_context("spawn")
    waiting = list(reversed(tasks))
    crew: dict[Any, BaseProcess] = {}
    try:
        for _ in range(min(workers, len(tasks))):
            ours, theirs = context.Pipe()
            process = context.Process(target=_work, args=(theirs,), daemon=True)
            process.start()
            theirs.close()
            crew[ours] = process
            ours.send(waiting.pop())
        while crew:
            for ready in wait(list(crew)):
                yield _answer(ready, crew[ready])
                _send_next(ready, waiting, crew)
    finally:
        _stop(list(crew.values()))


def _send_next(worker: Any, waiting: list[Task], crew: dict[Any, BaseProcess]) -> None:
    """Give a worker its next task, or let it go."""
    if waiting:
        worker.send(waiting.pop())
    else:
        worker.send(None)
        crew.pop(worker).join()


def _answer(connection: Any, process: BaseProcess) -> RunRecord:
    try:
        answer = connection.recv()
    except EOFError:
        process.join()
        raise ValueError(
            f"a training process ended with exit code {process.exitcode} (out of memory?); take fewer "
            "workers and run the same command again"
        ) from None
    if isinstance(answer, Exception):
        raise answer
    assert isinstance(answer, RunRecord)
    return answer


def _stop(crew: list[BaseProcess]) -> None:
    """Ask for the end, which comes after a training step and a save."""
    for process in crew:
        process.terminate()
    for process in crew:
        process.join(_GRACE_S)


def _work(connection: Connection) -> None:
    """Train what comes until nothing more does."""
    # A terminal's Ctrl-C is for the parent, which then asks once: asked twice, a training does not save.
    os.setpgrp()
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    while (task := _next_task(connection)) is not None:
        try:
            connection.send(train_run(task))
        except Exception as error:
            connection.send(error)


def _leave_with_parent() -> None:
    """Save and end when the parent was killed, so that nobody works in a folder that looks free."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)


def _next_task(connection: Connection) -> Task | None:
    try:
        task: Task | None = connection.recv()
    except EOFError:
        return None
    return task


def run_with_ray(tasks: Sequence[Task]) -> Iterator[RunRecord]:
    """A Ray cluster: that of `RAY_ADDRESS`, else one of this machine.

    The trainings of a machine that is lost continue elsewhere. The study's folder must be on a disk that all
    machines share.
    """
    import ray

    # A cluster the caller has joined already stays.
    ours = not ray.is_initialized()
    if ours:
        ray.init(log_to_driver=False, configure_logging=False)
    try:
        submit = ray.remote(max_retries=3)(train_run)
        pending = [submit.options(num_cpus=task.config.num_threads or 1).remote(task) for task in tasks]
        while pending:
            done, pending = ray.wait(pending)
            yield ray.get(done[0])
    finally:
        if ours:
            ray.shutdown()
