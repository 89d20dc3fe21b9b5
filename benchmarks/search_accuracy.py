"""How far the search's predictions are from whole models: shapes that nothing was fitted to, measured.

Profiles this machine (or takes `--device`), predicts decode and prefill of 24 shapes of 100M, 200M and 0.5B
parameters - wide and deep, grouped and multi-head attention, gated SiLU, gated ReLU and plain ReLU² FFNs,
vocabularies of 8k to 49k - and times each as a whole model with random weights. Prints the rows, and the
median error, the worst, and the rank correlation of each phase. `--json` prints one object last:
`{machine, rows: [{shape, phase, predicted_ms, measured_ms}], ...}`.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from phonelm.arch import DecoderConfig
from phonelm.profile import DeviceProfile, ProfileConfig, profile_device
from phonelm.progress import TerminalProgress
from phonelm.search import Request, predict
from phonelm.search.measure import measure_models
from phonelm.search.verification import agreement

SILU, RELU, RELU2 = ("gated", "silu"), ("gated", "relu"), ("plain", "relu2")
# Vocabulary, width, layers, heads, KV heads, head size, FFN width, FFN; the head is tied.
SHAPES: dict[str, tuple[int, int, int, int, int, int, int, tuple[str, str]]] = {
    "100M deep GQA 49k": (49152, 512, 30, 8, 2, 64, 1408, SILU),
    "100M wide MHA 49k": (49152, 1024, 4, 16, 16, 64, 2816, SILU),
    "100M wide GQA ReLU 32k": (32768, 1024, 7, 16, 4, 64, 2560, RELU),
    "100M deep MHA ReLU² 8k": (8192, 512, 40, 8, 8, 64, 1536, RELU2),
    "100M wide MHA ReLU² 8k": (8192, 1536, 4, 12, 12, 128, 4608, RELU2),
    "100M GQA 16k": (16384, 768, 14, 12, 3, 64, 2048, SILU),
    "100M MHA ReLU 32k": (32768, 768, 12, 12, 12, 64, 1792, RELU),
    "100M heads of 128 49k": (49152, 640, 18, 5, 1, 128, 1600, SILU),
    "200M deep GQA 49k": (49152, 768, 26, 12, 4, 64, 2048, SILU),
    "200M wide MHA ReLU 49k": (49152, 1536, 5, 24, 24, 64, 3072, RELU),
    "200M deep MHA 8k": (8192, 640, 40, 10, 10, 64, 1728, SILU),
    "200M wide GQA ReLU² 16k": (16384, 2048, 4, 16, 4, 128, 8192, RELU2),
    "200M GQA ReLU 32k": (32768, 1024, 14, 16, 4, 64, 3072, RELU),
    "200M heads of 96 32k": (32768, 1152, 12, 12, 12, 96, 2464, SILU),
    "200M GQA 49k": (49152, 1024, 12, 16, 2, 64, 3328, SILU),
    "200M GQA ReLU² 49k": (49152, 896, 18, 14, 7, 64, 3584, RELU2),
    "0.5B deep GQA 49k": (49152, 1024, 40, 16, 4, 64, 2816, SILU),
    "0.5B wide MHA ReLU 49k": (49152, 2048, 8, 32, 32, 64, 5120, RELU),
    "0.5B PhoneLM": (49152, 1024, 24, 16, 16, 64, 4864, RELU),
    "0.5B deep GQA 8k": (8192, 1024, 40, 16, 8, 64, 3072, SILU),
    "0.5B GQA ReLU² 32k": (32768, 1536, 18, 12, 4, 128, 6144, RELU2),
    "0.5B wide GQA 16k": (16384, 2560, 6, 20, 5, 128, 7680, SILU),
    "0.5B GQA ReLU 32k": (32768, 1536, 18, 24, 8, 64, 4096, RELU),
    "0.5B GQA 32k": (32768, 1280, 24, 20, 5, 64, 3456, SILU),
}


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", type=Path, help="a profile of this machine; measured anew if not given")
    parser.add_argument("--quick", action="store_true", help="profile in half a minute")
    parser.add_argument("--rounds", type=int, default=3, help="processes per shape")
    parser.add_argument("--prompt", type=int, default=256)
    parser.add_argument("--output", type=int, default=64)
    parser.add_argument("--only", default="", help="shapes whose name holds this")
    parser.add_argument("--json", action="store_true", help="print one JSON object last")
    args = parser.parse_args()
    progress = TerminalProgress()
    profile = (
        DeviceProfile.load(args.device)
        if args.device
        else profile_device(ProfileConfig(quick=args.quick), progress=progress, fresh=True)
    )
    request = Request(args.prompt, args.output, args.prompt + args.output)
    shapes = {name: config_of(numbers) for name, numbers in SHAPES.items() if args.only in name}
    measured = measure_models(list(shapes.values()), request, profile, rounds=args.rounds, progress=progress)
    rows: list[dict[str, Any]] = []
    for (name, config), model in zip(shapes.items(), measured, strict=True):
        predicted = predict(config, profile, request)
        for phase in ("decode", "prefill"):
            rows.append(
                {
                    "shape": name,
                    "phase": phase,
                    "predicted_ms": getattr(predicted, f"{phase}_ms"),
                    "measured_ms": getattr(model, f"{phase}_ms"),
                    "spread": getattr(model, f"{phase}_spread"),
                    "usual_share": model.usual_share,
                }
            )
    summary = {
        phase: summary_of([row for row in rows if row["phase"] == phase]) for phase in ("decode", "prefill")
    }
    print_rows(profile, rows, summary)
    if args.json:
        machine = profile.machine.model_dump(mode="json")
        conditions = profile.conditions.model_dump(mode="json")
        print(json.dumps({"machine": machine, "conditions": conditions, "summary": summary, "rows": rows}))


def config_of(numbers: tuple[int, int, int, int, int, int, int, tuple[str, str]]) -> DecoderConfig:
    """The decoder of one line of `SHAPES`."""
    names = (
        "vocab_size",
        "hidden_size",
        "num_layers",
        "num_heads",
        "num_kv_heads",
        "head_dim",
        "intermediate_size",
    )
    *sizes, (ffn, activation) = numbers
    fields = {**dict(zip(names, sizes, strict=True)), "ffn": ffn, "activation": activation}
    return DecoderConfig.model_validate({**fields, "tie_embeddings": True, "context_length": 2048})


def summary_of(rows: list[dict[str, Any]]) -> dict[str, float | None]:
    """Errors as shares of what was measured, and Spearman's rank correlation."""
    predicted, measured = ([row[f"{kind}_ms"] for row in rows] for kind in ("predicted", "measured"))
    bias = float(np.median(np.divide(predicted, measured) - 1))
    return {**agreement(predicted, measured).model_dump(), "bias": bias}


def print_rows(
    profile: DeviceProfile, rows: list[dict[str, Any]], summary: dict[str, dict[str, float | None]]
) -> None:
    """The table a person reads."""
    state = profile.conditions
    print(
        f"{profile.machine.model}, {profile.isa}, {profile.num_threads} threads; in its usual state "
        f"({state.usual_share:.0%} of the probes) it reads {state.bytes_per_s / 1e9:.1f} GB/s and does "
        f"{state.ops_per_s / 1e12:.2f} int8 TOPS"
    )
    for row in rows:
        error = row["predicted_ms"] / row["measured_ms"] - 1
        print(
            f"{row['shape']:24s} {row['phase']:8s} predicted {row['predicted_ms']:8.3f} ms, measured "
            f"{row['measured_ms']:8.3f} ms ({error:+6.1%}); repeats {row['spread']:4.0%} apart, "
            f"{row['usual_share']:4.0%} in the usual state"
        )
    for phase, numbers in summary.items():
        known = {name: value for name, value in numbers.items() if value is not None}
        print(phase, ", ".join(f"{name.replace('_', ' ')} {value:.3f}" for name, value in known.items()))


if __name__ == "__main__":
    main()
