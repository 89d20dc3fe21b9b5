"""How far the search's choice is from the truly fastest, on a space small enough to measure all of it.

All shapes of a space of a few million parameters (at least 200) are priced and measured as whole models with
random weights, one round each in turn; those whose time lies within a tenth of the shortest, and the choice,
are measured again in more rounds. The choice is the shape with the least predicted time of a whole answer.
Prints how much longer than the truly fastest it takes, and the rank correlation of predicted and measured
times over all shapes. `--json` prints one object last: `{machine, conditions, rows, summary}`.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from phonelm.arch import DecoderConfig
from phonelm.profile import DeviceProfile, ProfileConfig, profile_device
from phonelm.progress import TerminalProgress
from phonelm.search import Request, SearchConfig, enumerate_shapes, load_space, predict
from phonelm.search.measure import WholeModel, measure_models
from phonelm.search.verification import agreement, rank_correlation

SPACE: dict[str, Any] = {
    "hidden": {"min": 128, "max": 512, "step": 64},
    "layers": {"min": 4, "max": 24},
    "head_dim": [32, 64],
    "kv_groups": [1, 2, 4],
    "ffn": ["gated relu", "plain relu2"],
    "ffn_ratio": [2.0, 4.0],
    "ffn_step": 128,
    "tied": [True],
}
NEAR = 1.1
"""Shapes whose time is at most so many times the shortest are measured again."""


def main() -> None:
    """Run the benchmark."""
    args = _arguments()
    progress = TerminalProgress()
    space = load_space(args.space) if args.space else SPACE
    config = SearchConfig.model_validate({"params": args.params, "vocab_size": 4096, "space": space})
    request = Request(args.prompt, args.output, args.prompt + args.output)
    profile = (
        DeviceProfile.load(args.device)
        if args.device
        else profile_device(ProfileConfig(quick=args.quick), progress=progress)
    )
    configs = _all_shapes(config, request)[: args.most]
    predicted = [predict(one, profile, request) for one in configs]
    foretold = np.array([one.response_ms(request) for one in predicted])
    choice = int(np.argmin(foretold))
    measured = measure_models(configs, request, profile, rounds=1, progress=progress)
    first = np.array([_response(one, request) for one in measured])
    times, finalists = _finals(configs, first, choice, request, profile, args.rounds, progress)
    fastest = min(finalists, key=lambda index: times[index])
    summary = {
        "num_shapes": len(configs),
        "choice": predicted[choice].name,
        "fastest": predicted[fastest].name,
        "choice_over_fastest": float(times[choice] / times[fastest]),
        "rank_of_the_choice": int((first < first[choice]).sum()) + 1,
        "num_measured_again": len(finalists),
        "rank_correlation": rank_correlation(foretold.tolist(), first.tolist()),
        "decode": agreement([p.decode_ms for p in predicted], [m.decode_ms for m in measured]).model_dump(),
        "prefill": agreement(
            [p.prefill_ms for p in predicted], [m.prefill_ms for m in measured]
        ).model_dump(),
    }
    rows = [
        {
            "shape": one.name,
            "predicted_ms": float(a),
            "measured_ms": float(b),
            "measured_again_ms": times.get(i),
        }
        for i, (one, a, b) in enumerate(zip(predicted, foretold, first, strict=True))
    ]
    _print(profile, summary)
    if args.json:
        machine = profile.machine.model_dump(mode="json")
        conditions = profile.conditions.model_dump(mode="json")
        document = {"machine": machine, "conditions": conditions, "rows": rows, "summary": summary}
        print(json.dumps(document, ensure_ascii=False))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--params", default="5M")
    parser.add_argument("--space", type=Path, help="another space (YAML)")
    parser.add_argument("--device", type=Path, help="a profile of this machine; the kept one if not given")
    parser.add_argument("--quick", action="store_true", help="a profile of half a minute")
    parser.add_argument("--prompt", type=int, default=128)
    parser.add_argument("--output", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3, help="processes a shape that is measured again")
    parser.add_argument("--most", type=int, default=None, help="measure only the first so many shapes")
    parser.add_argument("--json", action="store_true", help="print one JSON object last")
    return parser.parse_args()


def _all_shapes(config: SearchConfig, request: Request) -> list[DecoderConfig]:
    """Every member of the space, in an order that has nothing to do with their sizes."""
    shapes = enumerate_shapes(config.narrowed_space, 4096, config.params, config.tolerance)
    order = np.random.default_rng(0).permutation(len(shapes))
    return [shapes.config(int(index), request.context_length) for index in order]


def _response(measured: WholeModel, request: Request) -> float:
    return measured.prefill_ms + request.output_tokens * measured.decode_ms


def _finals(
    configs: Sequence[DecoderConfig],
    first: np.ndarray,
    choice: int,
    request: Request,
    profile: DeviceProfile,
    rounds: int,
    progress: TerminalProgress,
) -> tuple[dict[int, float], list[int]]:
    """Times of another measurement, in turn, of the shapes that may be the fastest and of the choice."""
    near = np.flatnonzero(first <= NEAR * first.min()).tolist()
    finalists = sorted({choice, *near})
    again = measure_models(
        [configs[i] for i in finalists], request, profile, rounds=rounds, progress=progress
    )
    return {i: _response(one, request) for i, one in zip(finalists, again, strict=True)}, finalists


def _print(profile: DeviceProfile, summary: dict[str, Any]) -> None:
    print(f"{profile.machine.model}, {profile.isa}, {profile.num_threads} threads")
    print(f"{summary['num_shapes']} shapes, all measured; {summary['num_measured_again']} of them again")
    print(f"choice:  {summary['choice']}")
    print(f"fastest: {summary['fastest']}")
    print(
        f"the choice takes {summary['choice_over_fastest'] - 1:.1%} longer than the fastest; in the first "
        f"round it was number {summary['rank_of_the_choice']}"
    )
    print(f"rank correlation of predicted and measured times {summary['rank_correlation']:.3f}")
    for phase in ("decode", "prefill"):
        found = summary[phase]
        print(f"{phase}: median error {found['median_error']:.1%}, worst {found['worst_error']:.1%}")


if __name__ == "__main__":
    main()
