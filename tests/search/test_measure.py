from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from phonelm import _native
from phonelm.devices import machine_info
from phonelm.profile import DeviceProfile, Probe, Timed
from phonelm.progress import Progress
from phonelm.search import Request
from phonelm.search.measure import MIN_SAMPLES, _Samples, _turns, measure_models, require_this_machine
from shapes import TINY
from synthetic import synthetic_profile

REQUEST = Request(prompt_tokens=16, output_tokens=32, context_length=64)


def profile_of_here() -> DeviceProfile:
    """A made-up profile but for the machine and its rates, which are this machine's of now."""
    profile = synthetic_profile()
    conditions = profile.conditions.model_copy(
        update={"isa": _native.cpu_info()["isas"][-1], "probe_bytes": 2**22}
    )
    rates = conditions.probe(_native.OperatorBench().answer)
    conditions = conditions.model_copy(update=rates._asdict())
    return profile.model_copy(update={"machine": machine_info(), "conditions": conditions})


@pytest.mark.slow
def test_a_larger_model_takes_longer() -> None:
    small = TINY.model_copy(update={"context_length": 128})
    large = small.model_copy(update={"num_layers": 24, "intermediate_size": 1024})
    found = measure_models([small, large], REQUEST, profile_of_here(), rounds=1)
    assert 0 < found[0].decode_ms < found[1].decode_ms
    assert 0 < found[0].prefill_ms < found[1].prefill_ms
    assert all(0 <= one.usual_share <= 1 and one.decode_spread >= 0 for one in found)


def test_a_profile_of_another_machine_is_refused() -> None:
    with pytest.raises(ValueError, match="of another machine"):
        require_this_machine(synthetic_profile())


def test_models_measured_again_have_a_bar_of_their_own() -> None:
    """Of three models the second meets another state of the machine in the first three rounds."""
    profile = synthetic_profile()
    usual, other = profile.conditions.rates, Probe(1.0, 1.0)
    samples = [_Samples([], []) for _ in range(3)]
    bars: list[list[float]] = []

    class Bars(Progress):
        @contextmanager
        def bar(self, label: str, total: float) -> Iterator[Callable[[float], None]]:
            bars.append([total, 0])

            def advance(done: float) -> None:
                bars[-1][1] += done

            yield advance

    seen = []
    for index in _turns(samples, 3, profile, Bars()):
        seen.append(index)
        rates = other if index == 1 and len(seen) <= 9 else usual
        for kind in (samples[index].prefill, samples[index].decode):
            kind += [Timed(1.0, rates, rates)] * MIN_SAMPLES
    assert seen == [0, 1, 2] * 3 + [1]
    assert bars == [[9, 9], [3, 3]]
