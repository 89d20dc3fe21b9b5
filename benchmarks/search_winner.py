"""The search's winner against the conventional shapes of equal size, all measured as whole models in turn.

For each budget (100M and 200M parameters ± 2 %, vocabulary 49152) the search chooses a shape for this
machine, and SmolLM2-135M's, MobileLLM-125M's and OPT-125M's shapes are scaled to the budget. Each is timed
with random weights: decode halfway through the answer, and the whole prompt. Prints a row per shape with
predicted and measured times, then how many times faster the winner is than the fastest of the three in each
phase, and how far its predicted loss lies from that one's and from the best of the three. `--json` prints one
object last: `{machine, conditions, rows, summary}`.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from phonelm.profile import DeviceProfile, ProfileConfig, profile_device
from phonelm.progress import TerminalProgress
from phonelm.search import Candidate, Design, SearchConfig, search
from phonelm.search.measure import WholeModel, measure_models

PHASES = ("decode", "prefill")
Row = dict[str, Any]


def main() -> None:
    """Run the benchmark."""
    args = _arguments()
    progress = TerminalProgress()
    rows: list[Row] = []
    summary: dict[str, Any] = {}
    profile = _profile(args, progress)
    for params in args.params:
        config = SearchConfig(
            params=params,
            vocab_size=args.vocab,
            context_length=args.prompt + args.output,
            prompt_tokens=args.prompt,
            output_tokens=args.output,
            prefer=args.prefer,
        )
        design = search(config, profile, progress)
        candidates = {"winner": design.chosen} | {one.name: one.candidate for one in design.conventional}
        measured = measure_models(
            [one.config for one in candidates.values()],
            config.request,
            profile,
            rounds=args.rounds,
            progress=progress,
        )
        some = [
            _row(params, name, candidate, model)
            for (name, candidate), model in zip(candidates.items(), measured, strict=True)
        ]
        rows += some
        summary[params] = _summary(design, some)
        _print(params, design, some, summary[params])
    machine = profile.machine.model_dump(mode="json")
    print(f"{machine['model']}, {machine['system']}, {profile.isa}, {profile.num_threads} threads")
    if args.json:
        conditions = profile.conditions.model_dump(mode="json")
        document = {"machine": machine, "conditions": conditions, "rows": rows, "summary": summary}
        print(json.dumps(document, ensure_ascii=False))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--params", nargs="+", default=["100M", "200M"])
    parser.add_argument("--device", type=Path, help="a profile of this machine; the kept one if not given")
    parser.add_argument("--quick", action="store_true", help="a profile of half a minute")
    parser.add_argument("--vocab", type=int, default=49152)
    parser.add_argument("--prompt", type=int, default=256)
    parser.add_argument("--output", type=int, default=64)
    parser.add_argument("--prefer", default="speed", choices=["balance", "speed", "quality", "memory"])
    parser.add_argument("--rounds", type=int, default=3, help="processes per shape")
    parser.add_argument("--json", action="store_true", help="print one JSON object last")
    return parser.parse_args()


def _profile(args: argparse.Namespace, progress: TerminalProgress) -> DeviceProfile:
    if args.device:
        return DeviceProfile.load(args.device)
    return profile_device(ProfileConfig(quick=args.quick), progress=progress)


def _row(params: str, name: str, candidate: Candidate, measured: WholeModel) -> Row:
    return {
        "params": params,
        "name": name,
        "shape": candidate.name,
        "num_parameters": candidate.num_parameters,
        "non_embedding": candidate.non_embedding,
        "loss_percent": candidate.loss_percent,
        "loss_std_percent": candidate.loss_std_percent,
        "memory_mb": candidate.memory_mb,
        "predicted_decode_ms": candidate.decode_ms,
        "measured_decode_ms": measured.decode_ms,
        "decode_spread": measured.decode_spread,
        "predicted_prefill_ms": candidate.prefill_ms,
        "measured_prefill_ms": measured.prefill_ms,
        "prefill_spread": measured.prefill_spread,
    }


def _summary(design: Design, rows: list[Row]) -> dict[str, Any]:
    """By phase: the fastest of the conventional shapes, and the winner beside it."""
    winner, others = rows[0], rows[1:]
    found: dict[str, Any] = {"quality_source": design.quality_source}
    for phase in PHASES:
        fastest = min(others, key=lambda row: row[f"measured_{phase}_ms"])
        found[phase] = {
            "fastest_conventional": fastest["name"],
            "ratio": fastest[f"measured_{phase}_ms"] / winner[f"measured_{phase}_ms"],
            "loss_difference_percent": winner["loss_percent"] - fastest["loss_percent"],
        }
    best = min(row["loss_percent"] for row in others)
    found["loss_above_best_conventional_percent"] = winner["loss_percent"] - best
    return found


def _print(params: str, design: Design, rows: list[Row], summary: dict[str, Any]) -> None:
    print(f"\n{params}: {design.num_shapes:,} shapes priced, {design.num_front:,} on the front")
    for row in rows:
        times = "; ".join(
            f"{phase} {row[f'measured_{phase}_ms']:.3f} ms (predicted {row[f'predicted_{phase}_ms']:.3f}, "
            f"repeats {row[f'{phase}_spread']:.0%} apart)"
            for phase in PHASES
        )
        std = row["loss_std_percent"]
        loss = f"{row['loss_percent']:+.2f}" + (f" ± {std:.2f}" if std is not None else "") + " %"
        print(f"  {row['name']:15s} {row['shape']}, {row['num_parameters'] / 1e6:.1f}M: {times}; loss {loss}")
    for phase in PHASES:
        facts = summary[phase]
        print(
            f"  {phase}: {facts['ratio']:.2f} times as fast as the fastest, {facts['fastest_conventional']}, "
            f"at a predicted loss {facts['loss_difference_percent']:+.2f} % from its"
        )
    above = summary["loss_above_best_conventional_percent"]
    print(f"  predicted loss {above:+.2f} % from the best of the three, by {summary['quality_source']}")


if __name__ == "__main__":
    main()
