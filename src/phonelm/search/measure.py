"""Measures whole models with random weights, to set beside what was predicted of their shapes.

Every model runs in separate processes, several times, in turn with the others. Like the profile's cells a
sample counts only where the machine was in the profile's state before and after it.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from phonelm.arch import DecoderConfig
from phonelm.bench.process import in_own_process
from phonelm.profile import Conditions, DeviceProfile, Probe, Timed
from phonelm.profile.conditions import counted, relative_range, usual
from phonelm.profile.tables import Bound
from phonelm.progress import Progress
from phonelm.search.cost import Request

MIN_SAMPLES, MAX_S = 5, 8.0
"""A process ends when it has as many samples in the profile's state, or has run for so long (seconds)."""
_SMALLEST_VOCABULARY = 257
NUM_STEPS, WARM_TOKENS, STEP_TOKENS = 2, 3, 8
"""Decoded around the priced position: in each step some tokens that do not count, and those that do."""


@dataclass(frozen=True)
class WholeModel:
    """What a whole model took. Spreads are ranges over medians; the share is of samples that counted."""

    decode_ms: float
    """Milliseconds per token, halfway through the answer."""
    prefill_ms: float
    """Milliseconds for the whole prompt."""
    decode_spread: float
    prefill_spread: float
    usual_share: float


@dataclass(frozen=True)
class _Job:
    prompt_tokens: int
    before_tokens: int
    """Decoded and not counted."""
    conditions: Conditions
    """The profile's."""


@dataclass
class _Samples:
    """Of the prompt, and of a token."""

    prefill: list[Timed]
    decode: list[Timed]

    @property
    def by_bound(self) -> tuple[tuple[list[Timed], Bound], tuple[list[Timed], Bound]]:
        """Both kinds, each with the rate of the machine that it follows."""
        return (self.prefill, "arithmetic"), (self.decode, "memory")

    def enough(self, conditions: Conditions) -> bool:
        """Whether so many of both kinds count that their medians say something."""
        return min(self.num_usual(conditions.rates)) >= MIN_SAMPLES

    def num_usual(self, rates: Probe) -> list[int]:
        """How many of either kind are in the state of these rates."""
        return [sum(usual(sample, bound, rates) for sample in kind) for kind, bound in self.by_bound]


def measure_models(
    configs: Sequence[DecoderConfig],
    request: Request,
    profile: DeviceProfile,
    *,
    rounds: int = 3,
    progress: Progress | None = None,
) -> list[WholeModel]:
    """Time every decoder with random weights of the profile's types, prefill and decode as in `request`.

    Takes about three seconds per model and round. Raises `ValueError` for a profile of another machine or for
    a decoder that the runtime cannot run.
    """
    from phonelm.formats import write_random_gguf

    require_this_machine(profile)
    progress = progress or Progress()
    samples = [_Samples([], []) for _ in configs]
    with tempfile.TemporaryDirectory(prefix="phonelm-models-") as folder:
        job = _job(request, profile)
        for index in _turns(samples, rounds, profile, progress):
            path = Path(folder) / "model.gguf"
            write_random_gguf(path, configs[index], profile.block_type, profile.head_type)
            measured = in_own_process(_measure, path, job)
            samples[index].prefill += measured.prefill
            samples[index].decode += measured.decode
    return [_summary(of_model, profile) for of_model in samples]


def _turns(
    samples: Sequence[_Samples], rounds: int, profile: DeviceProfile, progress: Progress
) -> Iterator[int]:
    """All models in turn; then those again that hardly met the usual state, as many rounds at most."""
    for label, again in (("measuring whole models", False), ("measuring again, the machine was busy", True)):
        models = [i for i, one in enumerate(samples) if not again or not one.enough(profile.conditions)]
        if not models:
            return
        with progress.bar(label, rounds * len(models)) as advance:
            for _ in range(rounds):
                for index in models:
                    if not again or not samples[index].enough(profile.conditions):
                        yield index
                    advance(1)


def require_this_machine(profile: DeviceProfile) -> None:
    """Raise `ValueError` naming what differs between the profile's machine and this one."""
    from phonelm.devices import machine_info

    here, there = machine_info().model_dump(), profile.machine.model_dump()
    differences = [
        f"{name} {there[name]} there, {here[name]} here" for name in here if here[name] != there[name]
    ]
    if differences:
        raise ValueError(
            f"the profile is of another machine ({'; '.join(differences)}): whole models are measured where "
            "the profile was; measure this one with `phonelm profile`"
        )


def _job(request: Request, profile: DeviceProfile) -> _Job:
    decoded = NUM_STEPS * (WARM_TOKENS + STEP_TOKENS)
    return _Job(
        prompt_tokens=request.prompt_tokens,
        before_tokens=max(request.output_tokens - decoded, 0) // 2,
        conditions=profile.conditions,
    )


def _measure(path: Path, job: _Job) -> _Samples:
    """Measure a model in the process this is called in."""
    return _Worker(path, job).run()


class _Worker:
    """Measures one model in this process."""

    def __init__(self, path: Path, job: _Job) -> None:
        from phonelm import _native

        self.job, self.conditions = job, job.conditions
        self.model = _native.Model.load(str(path), self.conditions.isa, self.conditions.num_threads)
        self.sampler = _native.Sampler()
        num_tokens = job.prompt_tokens + job.before_tokens + NUM_STEPS * (WARM_TOKENS + STEP_TOKENS)
        self.session = self.model.new_session(num_tokens + 2)
        self.ask = _native.OperatorBench().answer
        self.samples = _Samples([], [])

    def run(self) -> _Samples:
        """Samples until enough are in the profile's state, or the time is up."""
        self._sample()
        self.samples = _Samples([], [])
        end = time.perf_counter() + MAX_S
        while not self.samples.enough(self.conditions) and (
            not self.samples.decode or time.perf_counter() < end
        ):
            self._sample()
        return self.samples

    def _sample(self) -> None:
        """The prompt, and the tokens around the position that is priced, a few at a time."""
        job, session, sampler = self.job, self.session, self.sampler
        session.truncate(0)
        prompt = [i * 7919 % _SMALLEST_VOCABULARY for i in range(job.prompt_tokens)]
        token = 0

        def prefill() -> None:
            nonlocal token
            session.prefill(prompt)
            token = session.sample(sampler)

        def decode(num_tokens: int) -> None:
            nonlocal token
            token = session.decode(token, sampler, num_tokens)[-1]

        self.samples.prefill.append(self._timed(prefill))
        decode(job.before_tokens + 1)
        for _ in range(NUM_STEPS):
            # A probe empties the caches: of what a model leaves in them the next token finds nothing.
            timed = self._timed(lambda: decode(STEP_TOKENS), lambda: decode(WARM_TOKENS))
            self.samples.decode.append(timed._replace(seconds=timed.seconds / STEP_TOKENS))

    def _timed(self, work: Callable[[], None], warm_up: Callable[[], None] = lambda: None) -> Timed:
        before = self.conditions.probe(self.ask)
        warm_up()
        start = time.perf_counter()
        work()
        seconds = time.perf_counter() - start
        return Timed(seconds, before, self.conditions.probe(self.ask))


def _summary(samples: _Samples, profile: DeviceProfile) -> WholeModel:
    rates = profile.conditions.rates
    prefill, decode = (counted(kind, bound, rates) for kind, bound in samples.by_bound)
    return WholeModel(
        prefill_ms=1e3 * statistics.median(prefill),
        decode_ms=1e3 * statistics.median(decode),
        prefill_spread=relative_range(prefill),
        decode_spread=relative_range(decode),
        usual_share=sum(samples.num_usual(rates)) / (len(samples.prefill) + len(samples.decode)),
    )
