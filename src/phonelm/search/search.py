"""From a budget and a device to a shape: enumerate, price, and choose from the Pareto front."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from phonelm.files import provenance
from phonelm.profile import DeviceProfile
from phonelm.progress import Progress
from phonelm.search import choice
from phonelm.search.comparison import comparison
from phonelm.search.config import SearchConfig
from phonelm.search.conventional import KEPT, conventional_shapes
from phonelm.search.design import Conventional, Design, describe
from phonelm.search.front import pareto_front, thin
from phonelm.search.narrowing import kept
from phonelm.search.objective import quality_of
from phonelm.search.priced import Portion, Priced, loss_at
from phonelm.search.selection import most_loss_percent, select
from phonelm.search.space import enumerate_shapes
from phonelm.words import counted

Array = npt.NDArray[Any]
_FRONT_KEPT, _SAMPLE_KEPT = 200, 400


def search(
    config: SearchConfig,
    profile: DeviceProfile | Sequence[DeviceProfile],
    progress: Progress | None = None,
) -> Design:
    """The shape to build for the profiled device within the budget.

    With several pairs of types in the space there is a profile of each. Raises `ValueError` for a budget or
    limits that no shape meets (naming the nearest that does), for what the space does not hold, and for types
    without a profile.
    """
    progress = progress or Progress()
    profiles = [profile] if isinstance(profile, DeviceProfile) else list(profile)
    begin, request = time.perf_counter(), config.request
    portions = _portions(config, profiles)
    published = conventional_shapes(portions[0].shapes.vocab_size, config.params, config.tolerance)
    quality, theirs = quality_of([p.shapes for p in portions], list(published.values()), config.predictor)
    priced = Priced.of(portions, quality, request)
    priced_s = time.perf_counter() - begin
    progress.line(f"  {counted(len(priced), 'shape')} priced in {priced_s:.2f} s")
    front = pareto_front(priced.objectives)
    winner = select(config, priced, front, most_loss_percent(config, theirs))
    conventional = [
        Conventional(
            name=name,
            kept=KEPT[name],
            candidate=describe(shapes, 0, portions[0].profile, request, *loss_at(theirs, index)),
        )
        for index, (name, shapes) in enumerate(published.items())
    ]
    chosen = priced.candidate(winner)
    design = Design(
        params=config.params,
        request=request,
        limits=config.limits,
        prefer=config.prefer,
        chosen=chosen,
        conventional=conventional,
        reason=_reason(config, len(priced), len(front)),
        quality_source=quality.source,
        quality_note=quality.note,
        num_shapes=len(priced),
        pricing_s=priced_s,
        num_front=len(front),
        front=priced.points(np.union1d(front[thin(priced.costs.decode_ms[front], _FRONT_KEPT)], [winner])),
        sample=priced.points(_drawn(len(priced))),
        device=profiles[0].machine.model,
        isa=profiles[0].isa,
        num_threads=profiles[0].num_threads,
        made=provenance(config=config.model_dump(mode="json"), wall_s=round(time.perf_counter() - begin, 3)),
    )
    return design.model_copy(update={"comparison": comparison(chosen, design.best_conventional)})


def _portions(config: SearchConfig, profiles: Sequence[DeviceProfile]) -> list[Portion]:
    """The shapes of every vocabulary with each profile of the types asked for."""
    space = config.narrowed_space
    by_types = {f"{profile.block_type}/{profile.head_type}": profile for profile in profiles}
    for types in space.types:
        if types not in by_types:
            raise ValueError(
                f"the space has {types} and there is a profile of {', '.join(by_types)} only; keep one of "
                "these, or leave --device out on the device itself, which is measured then"
            )
    by_vocab = [
        kept(enumerate_shapes(space, vocab, config.params, config.tolerance), config.keep)
        for vocab in dict.fromkeys(space.vocab)
    ]
    return [Portion(shapes, by_types[types]) for types in dict.fromkeys(space.types) for shapes in by_vocab]


def _drawn(count: int) -> Array:
    """Indices of some shapes, always the same ones."""
    which = np.random.default_rng(0).choice(count, min(_SAMPLE_KEPT, count), replace=False)
    return np.sort(which)


def _reason(config: SearchConfig, count: int, num_front: int) -> str:
    within = " within the limits" if config.limits else ""
    return (
        f"Of {counted(count, 'shape')} with {config.params / 1e6:.3g}M parameters ± {config.tolerance:.0%}, "
        f"{num_front:,} {'is' if num_front == 1 else 'are'} beaten by none in decode, prefill, memory and "
        f"predicted loss together; of those{within}, this is {choice.words(config.prefer)}."
    )
