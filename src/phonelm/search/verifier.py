"""Measures some of a design's shapes as whole models, beside what was predicted of them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from phonelm.arch import DecoderConfig
from phonelm.devices import Device, LocalDevice, kernels_fingerprint
from phonelm.profile import DeviceProfile
from phonelm.progress import Progress
from phonelm.search.comparison import comparison
from phonelm.search.cost import Request
from phonelm.search.design import Candidate, Design, FrontPoint
from phonelm.search.front import thin
from phonelm.search.measure import WholeModel, measure_models, require_this_machine
from phonelm.search.measure_device import measure_models_on
from phonelm.search.verification import Verification, Verified, agreement
from phonelm.words import counted

ROUND_S = (3.0, 17.0)
"""Seconds of a model and round: with all samples in the profile's state at once, and with none, twice."""


@dataclass(frozen=True)
class _Subject:
    role: str
    config: DecoderConfig
    decode_ms: float
    prefill_ms: float
    types: str
    loss_percent: float | None


def check_machine(profile: DeviceProfile) -> None:
    """Raises `ValueError` with the differences where a profile is of another machine or other kernels."""
    require_this_machine(profile)
    if profile.kernels != (here := kernels_fingerprint()):
        raise ValueError(
            f"the profile is of other kernels ({profile.kernels} there, {here} here), so what is measured "
            "here can not verify it; measure again with `phonelm profile`"
        )


def verify(
    design: Design,
    profiles: Sequence[DeviceProfile],
    num_models: int = 16,
    *,
    device: Device | None = None,
    rounds: int = 3,
    progress: Progress | None = None,
) -> Design:
    """The design with whole models measured: the choice, the front, a random sample, the published shapes.

    About half of `num_models` are of the front, spread over decode time; the published shapes come on top.
    They run on the connected `device`, on this machine without one. Raises `ValueError` for a profile of
    another machine.
    """
    begin = time.perf_counter()
    rows: list[Verified] = []
    subjects = _subjects(design, num_models)
    (progress or Progress()).line(
        f"  {counted(len(subjects), 'whole model')} to measure, {_time_words(len(subjects), rounds)}"
    )
    for profile in profiles:
        types = f"{profile.block_type}/{profile.head_type}"
        some = [subject for subject in subjects if subject.types == types]
        configs = [subject.config for subject in some]
        if some:
            measured = _measured(device, configs, design.request, profile, rounds, progress)
            rows += [_row(subject, one) for subject, one in zip(some, measured, strict=True)]
    found = Verification(
        rows=rows,
        decode=agreement([r.predicted_decode_ms for r in rows], [r.measured_decode_ms for r in rows]),
        prefill=agreement([r.predicted_prefill_ms for r in rows], [r.measured_prefill_ms for r in rows]),
        rounds=rounds,
        wall_s=round(time.perf_counter() - begin, 1),
    )
    note = f"{counted(len(rows), 'whole model')} with random weights, {counted(rounds, 'round')} in turn"
    words = comparison(design.chosen, design.best_conventional, found)
    return design.model_copy(
        update={"verification": found, "verification_note": note, "comparison": words or design.comparison}
    )


def _time_words(num_models: int, rounds: int) -> str:
    """How long it takes: on a quiet machine, and where every model is measured again for it was not."""
    low, high = (max(1, round(num_models * rounds * seconds / 60)) for seconds in ROUND_S)
    return f"in {low} to {high} minutes" if high > low else f"in about {counted(low, 'minute')}"


def _measured(
    device: Device | None,
    configs: Sequence[DecoderConfig],
    request: Request,
    profile: DeviceProfile,
    rounds: int,
    progress: Progress | None,
) -> list[WholeModel]:
    if device and not isinstance(device, LocalDevice):
        return measure_models_on(device, configs, request, profile, rounds=rounds, progress=progress)
    check_machine(profile)
    return measure_models(configs, request, profile, rounds=rounds, progress=progress)


def _subjects(design: Design, num_models: int) -> list[_Subject]:
    """What is measured, the choice first, no shape twice."""
    context = design.request.context_length
    num_front = max(num_models // 2 - 1, 0)
    front = [design.front[i] for i in thin(np.array([p.decode_ms for p in design.front]), num_front)]
    order = np.random.default_rng(1).permutation(len(design.sample))
    sample = [design.sample[i] for i in order[: num_models - num_front - 1]]
    subjects = [_of_candidate("chosen", design.chosen)]
    subjects += [_of_point("front", point, context) for point in front]
    subjects += [_of_point("sample", point, context) for point in sample]
    subjects += [_of_candidate(one.name, one.candidate) for one in design.conventional]
    different: dict[tuple[DecoderConfig, str], _Subject] = {}
    for subject in subjects:
        different.setdefault((subject.config, subject.types), subject)
    return list(different.values())


def _of_candidate(role: str, candidate: Candidate) -> _Subject:
    return _Subject(
        role,
        candidate.config,
        candidate.decode_ms,
        candidate.prefill_ms,
        candidate.types,
        candidate.loss_percent,
    )


def _of_point(role: str, point: FrontPoint, context_length: int) -> _Subject:
    return _Subject(
        role, point.config(context_length), point.decode_ms, point.prefill_ms, point.types, point.loss_percent
    )


def _row(subject: _Subject, measured: WholeModel) -> Verified:
    return Verified(
        role=subject.role,
        config=subject.config,
        loss_percent=subject.loss_percent,
        predicted_decode_ms=subject.decode_ms,
        measured_decode_ms=measured.decode_ms,
        decode_spread=measured.decode_spread,
        predicted_prefill_ms=subject.prefill_ms,
        measured_prefill_ms=measured.prefill_ms,
        prefill_spread=measured.prefill_spread,
        usual_share=measured.usual_share,
    )
