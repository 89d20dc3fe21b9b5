"""Measures whole models with random weights, to set beside what was predicted of their shapes.

Every model runs in processes of its own, several times, in turn with the others. Like the profile's cells a
sample counts only where the machine was in the profile's state before and after it.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from phonelm.arch import DecoderConfig
from phonelm.profile import Conditions, DeviceProfile, Probe, Timed
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
    """Milliseconds a token, halfway through the answer."""
    prefill_ms: float
    """Milliseconds for the whole prompt."""
    decode_spread: float
    prefill_spread: float
    usual_share: float


@dataclass(frozen=True)
class _Job:
    path: str
    isa: str
    num_threads: int
    prompt_tokens: int
    before_tokens: int
    """Decoded and not counted."""
    conditions: dict[str, Any]
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
        return all(
            sum(conditions.count(sample, bound) for sample in kind) >= MIN_SAMPLES
            for kind, bound in self.by_bound
        )


def measure_models(
    configs: Sequence[DecoderConfig],
    request: Request,
    profile: DeviceProfile,
    *,
    rounds: int = 3,
    progress: Progress | None = None,
) -> list[WholeModel]:
    """Time every decoder with random weights of the profile's types, prefill and decode as in `request`.

    Takes about three seconds a model and round. Raises `ValueError` for a profile of another machine or for a
    decoder that the runtime cannot run.
    """
    from phonelm.formats import write_random_gguf

    require_this_machine(profile)
    progress = progress or Progress()
    samples = [_Samples([], []) for _ in configs]
    with (
        tempfile.TemporaryDirectory(prefix="phonelm-models-") as folder,
        progress.bar("measuring whole models", rounds * len(configs)) as advance,
    ):
        for index in _turns(samples, rounds, profile):
            path = Path(folder) / "model.gguf"
            write_random_gguf(path, configs[index], profile.block_type, profile.head_type)
            measured = _in_a_process(_job(path, request, profile))
            samples[index].prefill += measured.prefill
            samples[index].decode += measured.decode
            advance(1)
    return [_summary(of_model, profile) for of_model in samples]


def _turns(samples: Sequence[_Samples], rounds: int, profile: DeviceProfile) -> Iterator[int]:
    """All models in turn; then those again that hardly met the usual state, as many rounds at most."""
    for extra in (False, True):
        for _ in range(rounds):
            for index, of_model in enumerate(samples):
                if not extra or not of_model.enough(profile.conditions):
                    yield index


def require_this_machine(profile: DeviceProfile) -> None:
    """Raise `ValueError` naming what differs between the profile's machine and this one."""
    from phonelm.profile import machine_info

    here, there = machine_info().model_dump(), profile.machine.model_dump()
    differences = [
        f"{name} {there[name]} there, {here[name]} here" for name in here if here[name] != there[name]
    ]
    if differences:
        raise ValueError(
            f"the profile is of another machine ({'; '.join(differences)}): whole models are measured where "
            "the profile was; measure this one with `phonelm profile`"
        )


def _job(path: Path, request: Request, profile: DeviceProfile) -> _Job:
    counted = NUM_STEPS * (WARM_TOKENS + STEP_TOKENS)
    return _Job(
        path=str(path),
        isa=profile.isa,
        num_threads=profile.num_threads,
        prompt_tokens=request.prompt_tokens,
        before_tokens=max(request.output_tokens - counted, 0) // 2,
        conditions=profile.conditions.model_dump(mode="json"),
    )


def _in_a_process(job: _Job) -> _Samples:
    """Run `work` in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", "from phonelm.search.measure import work; work()"],
        input=json.dumps(asdict(job)),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["it gave no reason"])[-1]
        raise ValueError(f"a model could not be measured: {last}")
    return _Samples(**{name: [_timed(one) for one in kind] for name, kind in json.loads(done.stdout).items()})


def _timed(numbers: Sequence[Any]) -> Timed:
    seconds, before, after = numbers
    return Timed(seconds, Probe(*before), Probe(*after))


def work() -> None:
    """Measure the job on standard input; the samples go to standard output."""
    job = _Job(**json.load(sys.stdin))
    print(json.dumps(asdict(_Worker(job).run())))


class _Worker:
    """Measures one model in this process."""

    def __init__(self, job: _Job) -> None:
        from phonelm import _native

        self.job = job
        self.conditions = Conditions(**job.conditions)
        self.model = _native.Model.load(job.path, job.isa, job.num_threads)
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
    num_usual = num_samples = 0
    medians, spreads = [], []
    for kind, bound in samples.by_bound:
        usual = [sample.seconds for sample in kind if profile.conditions.count(sample, bound)]
        counted = usual or [sample.seconds for sample in kind]
        medians.append(1e3 * statistics.median(counted))
        spreads.append((max(counted) - min(counted)) / statistics.median(counted))
        num_usual += len(usual)
        num_samples += len(kind)
    return WholeModel(
        prefill_ms=medians[0],
        decode_ms=medians[1],
        prefill_spread=spreads[0],
        decode_spread=spreads[1],
        usual_share=num_usual / num_samples,
    )
