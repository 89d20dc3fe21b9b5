"""Random sessions for as long as asked: python tests/native/soak_sessions.py [SECONDS [SEED [MODEL]]].

Several threads start, continue, cancel, slide, truncate, fork, save, restore and batch sessions of one model,
and make wrong calls. A share of the texts is made a second time by a model of its own, and must come out the
same; the process's memory must not grow. Prints what was done, exits 1 on a difference, a leak or an error
that is none of the documented ones. test_session_soak.py runs it for some seconds.
"""

from __future__ import annotations

import gc
import random
import sys
import tempfile
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from phonelm.bench.memory import rss_bytes
from phonelm.engine import Model, Session, load

NUM_WORKERS = 3
WARM_UP_SHARE = 0.25
"""Of the time, before memory is first measured: pools and allocators fill up."""
GROWTH_BYTES = 24 << 20
"""What a process may grow by for reasons of its own: thread stacks, fragments, caches of the interpreter."""
CONTEXT = 96


class Worker:
    """One thread's sessions; every step is one random call."""

    def __init__(self, model: Model, fresh: Model, folder: Path, seed: int) -> None:
        self.counts: Counter[str] = Counter()
        self._model = model
        self._fresh = fresh
        self._folder = folder
        self._seed = seed
        self._draw = random.Random(seed)
        self._sessions: list[Session] = []

    def step(self) -> None:
        """Do something; raises `AssertionError` where it comes out wrong."""
        actions = (
            self.open, self.go_on, self.go_on, self.truncate, self.fork, self.save_and_restore, self.cancel,
            self.abandon, self.close, self.wrong_call, self.replay, self.generate, self.batch,
        )  # fmt: skip
        action = self._draw.choice(actions)
        action()
        self.counts[action.__name__] += 1

    def open(self) -> None:
        if len(self._sessions) >= 6:
            return
        slides = self._draw.random() < 0.5
        session = self._model.new_session(
            context_length=self._draw.randrange(40, CONTEXT + 1),
            context_overflow="slide" if slides else "stop",
            num_sinks=self._draw.randrange(6),
        )
        self._sessions.append(session)

    def go_on(self) -> None:
        if session := self._some():
            self._attempt(
                lambda: list(session.generate(self._tokens(30), max_tokens=self._draw.randrange(1, 30)))
            )

    def truncate(self) -> None:
        if session := self._some():
            self._attempt(lambda: session.truncate(self._draw.randrange(session.position + 1)))

    def fork(self) -> None:
        session = self._some()
        if session and len(self._sessions) < 6:
            self._attempt(lambda: self._sessions.append(session.fork()))

    def save_and_restore(self) -> None:
        session = self._some()
        if session is None or session.position == 0:
            return
        path = self._folder / f"{self._seed}.session"
        session.save(path)
        restored = self._model.restore_session(path)
        assert restored.tokens == session.tokens
        texts = [
            self._attempt(lambda one=one: list(one.generate(max_tokens=8))) for one in (session, restored)
        ]
        assert texts[0] == texts[1], "a restored session went on differently"
        assert [path.name for path in self._folder.glob(f"{self._seed}.*")] == [path.name]

    def cancel(self) -> None:
        if session := self._some():
            self._attempt(lambda: self._cancel_soon(session))

    def _cancel_soon(self, session: Session) -> None:
        run = session.generate(self._tokens(30), max_tokens=60)
        timer = threading.Timer(self._draw.random() / 200, run.cancel)
        timer.start()
        list(run)
        timer.join()
        assert run.finish_reason is not None

    def abandon(self) -> None:
        if session := self._some():
            self._attempt(lambda: next(session.generate(self._tokens(5), max_tokens=20), None))

    def close(self) -> None:
        if session := self._some():
            session.close()
            self._sessions.remove(session)

    def wrong_call(self) -> None:
        session = self._model.new_session(context_length=40)
        path = self._folder / f"{self._seed}.broken"
        path.write_bytes(self._draw.randbytes(self._draw.randrange(200)))
        calls: list[Any] = [
            lambda: session.truncate(-1),
            lambda: session.truncate(10**9),
            lambda: session.evaluate([1] * 41),
            lambda: session.evaluate([-5]),
            lambda: self._model.restore_session(path),
            lambda: self._model.new_session(context_length=CONTEXT + 1),
            lambda: self._model.generate([10**6]),
            lambda: (session.close(), session.evaluate([1])),
        ]
        message = _refusal(self._draw.choice(calls))
        assert message is not None, "a wrong call was taken"
        assert "\n" not in message
        path.unlink()

    def generate(self) -> None:
        overflow = self._draw.choice(("stop", "slide"))
        list(self._model.generate(self._tokens(60), max_tokens=10, context_overflow=overflow))

    def replay(self) -> None:
        """A text by the model whose sessions are kept and shared, and by one that keeps none."""
        prompt, options = (
            self._tokens(50),
            {"max_tokens": 12, "temperature": 1.0, "seed": self._draw.randrange(99)},
        )
        texts = ["".join(model.generate(prompt, **options)) for model in (self._model, self._fresh)]
        assert texts[0] == texts[1], f"another text for {prompt}"

    def batch(self) -> None:
        prompts = [self._tokens(40) for _ in range(self._draw.randrange(1, 6))]
        results = self._model.generate_batch(prompts, max_tokens=8, batch_size=3)
        index = self._draw.randrange(len(prompts))
        alone = "".join(self._fresh.generate(prompts[index], max_tokens=8))
        assert results[index].text == alone, f"another text in a batch for {prompts[index]}"

    def _some(self) -> Session | None:
        return self._draw.choice(self._sessions) if self._sessions else None

    def _tokens(self, most: int) -> list[int]:
        """Few different openings, so that sessions share them."""
        opening = [self._draw.randrange(3)] * self._draw.choice((1, 20))
        return opening + [
            self._draw.randrange(250) for _ in range(self._draw.randrange(1, max(most - 20, 2)))
        ]

    def _attempt(self, call: Any) -> Any:
        """What a full or slid context refuses is in order."""
        result: list[Any] = []
        message = _refusal(lambda: result.append(call()))
        expected = ("holds", "do not fit", "cannot go back", "cannot fork", "empty")
        assert message is None or any(word in message for word in expected), message
        return result[0] if result else None


def _refusal(call: Callable[[], Any]) -> str | None:
    """What a call is refused with, if it is."""
    try:
        call()
    except ValueError as error:
        return str(error)
    return None


def soak(model_path: Path, seconds: float, seed: int) -> Counter[str]:
    """Run all workers; returns how often each call was made. Raises `AssertionError` for what went wrong."""
    with tempfile.TemporaryDirectory() as name, load(model_path, num_threads=2) as model:
        fresh = load(model_path, num_threads=2, idle_sessions=0)
        workers = [Worker(model, fresh, Path(name), seed + index) for index in range(NUM_WORKERS)]
        begun, failures = time.monotonic(), []
        baseline = 0

        def run(worker: Worker) -> None:
            while time.monotonic() < begun + seconds and not failures:
                try:
                    worker.step()
                except BaseException:
                    failures.append(traceback.format_exc())

        threads = [threading.Thread(target=run, args=(worker,)) for worker in workers]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            time.sleep(min(seconds / 20, 5))
            if not baseline and time.monotonic() > begun + WARM_UP_SHARE * seconds:
                baseline = _settled_rss()
        assert not failures, "".join(failures)
        grown = _settled_rss() - baseline
        assert grown < GROWTH_BYTES, f"memory grew by {grown >> 20} MiB"
        return sum((worker.counts for worker in workers), Counter(grown_kib=max(grown, 0) >> 10))


def _settled_rss() -> int:
    gc.collect()
    return rss_bytes()


def _tiny_model(folder: Path) -> Path:
    sys.path.insert(0, str(Path(__file__).parents[1]))
    from phonelm.formats import write_random_gguf
    from shapes import TINY

    write_random_gguf(folder / "tiny.gguf", TINY, block_type="q8_0", embedding_type="q8_0", seed=1)
    return folder / "tiny.gguf"


def main() -> int:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 60.0
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    with tempfile.TemporaryDirectory() as name:
        path = Path(sys.argv[3]) if len(sys.argv) > 3 else _tiny_model(Path(name))
        try:
            counts = soak(path, seconds, seed)
        except AssertionError as error:
            print(error, file=sys.stderr)
            return 1
    print(
        f"{seconds:.0f} s, seed {seed}: "
        + ", ".join(f"{key} {value}" for key, value in sorted(counts.items()))
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
