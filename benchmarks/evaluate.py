"""How fast and how right `phonelm evaluate` is beside lm-evaluation-harness's `hf` backend.

The same samples, prompts and weights, on the same cores: SmolLM2-135M-Instruct as files of --types in the
runtime, and the F16 file's weights as a Hugging Face folder in transformers. For each task and type, in turn:

ours_samples_s, peer_samples_s   samples a second; the peer in the faster of float32 and bfloat16, which is
                                 found on the first task
ratio                            ours / peer's
same_choice                      share of samples with the same chosen answer, the peer in float32
acc_difference                   of acc, and of acc_norm where there is one, the larger, in points of 100

With --json one document, {made, machine, rows}, to standard output.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lm_eval.models.huggingface import HFLM

from phonelm import _native, load
from phonelm.devices import machine_record
from phonelm.engine import resolve
from phonelm.evaluate.harness import run_harness, task_on_rows
from phonelm.evaluate.run import Options, evaluate
from phonelm.evaluate.scorers import RuntimeScorer
from phonelm.evaluate.sets import fetch_sets
from phonelm.evaluate.tasks import ChoiceTask, tasks_of
from phonelm.files import cache_folder, provenance
from phonelm.formats import requantize_gguf
from phonelm.progress import TerminalProgress

MODEL = "smollm2-135m-instruct"
Row = dict[str, Any]


def main() -> int:
    args = _arguments()
    fetch_sets(TerminalProgress())
    files = {kind: _file(kind) for kind in args.types.split(",")}
    peer = _Peer(_folder(_file("f16")), args.batch)
    rows = []
    for name in args.tasks.split(","):
        (task,) = tasks_of(name)
        assert isinstance(task, ChoiceTask)
        theirs = peer.run(task, args.limit)
        for kind, file in files.items():
            rows.append(_compared(task, kind, file, theirs, args.limit))
            _show(rows[-1])
    info = machine_record()
    document = {"made": provenance(config={k: str(v) for k, v in vars(args).items()}), "machine": info}
    if args.json:
        print(json.dumps({**document, "rows": rows}))
    return 0


def _compared(task: ChoiceTask, kind: str, file: Path, theirs: Row, limit: int) -> Row:
    begun = time.perf_counter()
    with load(file) as model:
        (ours,) = evaluate([task], RuntimeScorer(model), Options(limit=limit, fresh=True))
    seconds = time.perf_counter() - begun
    chosen = [_likeliest(record["log_probabilities"]) for record in ours.records]
    same = sum(one == _likeliest(values) for one, values in zip(chosen, theirs["values"], strict=True))
    metrics = [name for name in ("acc", "acc_norm") if name in ours.metrics]
    differences = [abs(ours.metrics[name].value - theirs["metrics"][name]) for name in metrics]
    samples = len(ours.records)
    return {
        "task": task.name,
        "type": kind,
        "samples": samples,
        "ours_samples_s": samples / seconds,
        "peer_samples_s": samples / theirs["seconds"],
        "peer_dtype": theirs["dtype"],
        "ratio": theirs["seconds"] / seconds,
        "same_choice": same / samples,
        "acc_difference": 100 * max(differences),
        "acc": ours.metrics["acc"].value,
    }


def _likeliest(values: Sequence[float]) -> int:
    return max(range(len(values)), key=values.__getitem__)


class _Peer:
    """lm-evaluation-harness's own model class."""

    def __init__(self, folder: Path, batch: int) -> None:
        import torch

        torch.set_num_threads(_native.cpu_info().get("num_cores", 2))
        self._models = {
            dtype: HFLM(pretrained=str(folder), dtype=dtype, device="cpu", batch_size=batch)
            for dtype in ("float32", "bfloat16")
        }
        self._faster: str | None = None

    def run(self, task: ChoiceTask, limit: int) -> Row:
        rows = task.rows.read()[:limit]
        exact = self._run("float32", task.name, rows)
        if self._faster is None:
            few = rows[: max(len(rows) // 5, 16)]
            for dtype in self._models:
                # What a type prepares once is not its speed.
                self._run(dtype, task.name, rows[:4])
            rates = {dtype: self._run(dtype, task.name, few)["seconds"] for dtype in self._models}
            self._faster = min(rates, key=lambda dtype: rates[dtype])
        if self._faster == "float32":
            return {**exact, "dtype": "float32"}
        timed = self._run(self._faster, task.name, rows)
        return {**exact, "seconds": timed["seconds"], "dtype": self._faster}

    def _run(self, dtype: str, name: str, rows: Sequence[Row]) -> Row:
        begun = time.perf_counter()
        found = run_harness(self._models[dtype], [task_on_rows(name, rows)], bootstrap_iters=0)
        seconds = time.perf_counter() - begun
        samples = sorted(found["samples"][name], key=lambda sample: sample["doc_id"])
        # Of each metric's filter there is a sample; the first is enough.
        values = {sample["doc_id"]: [float(one[0]) for one in sample["filtered_resps"]] for sample in samples}
        metrics = {key.split(",")[0]: value for key, value in found["results"][name].items()}
        return {"seconds": seconds, "values": [values[i] for i in sorted(values)], "metrics": metrics}


def _file(kind: str) -> Path:
    path = cache_folder() / "benchmarks" / f"{MODEL}-{kind}.gguf"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        source = resolve(MODEL) if kind == "f16" else _file("f16")
        requantize_gguf(source, path, kind, allow_requantize=True)
    return path


def _folder(file: Path) -> Path:
    """The same weights for transformers."""
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    folder = file.with_suffix("")
    if not (folder / "config.json").is_file():
        model = AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name)
        AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name).save_pretrained(folder)
        # The model that was read counts as quantized, which cannot be saved.
        plain = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(file.parent, gguf_file=file.name))
        plain.load_state_dict(model.state_dict())
        plain.save_pretrained(folder)
    return folder


def _show(row: Row) -> None:
    print(
        f"{row['task']:14} {row['type']:6} {row['samples']:5} samples  ours {row['ours_samples_s']:7.2f}/s  "
        f"lm_eval hf {row['peer_samples_s']:6.2f}/s ({row['peer_dtype']})  ratio {row['ratio']:5.2f}  "
        f"same choice {row['same_choice']:.3f}  acc differs {row['acc_difference']:.2f} points",
        file=sys.stderr,
        flush=True,
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tasks", default="phonelm7-tasks")
    parser.add_argument("--types", default="f16,q8_0,q4_0", help="of our files")
    parser.add_argument("--limit", type=int, default=500, help="samples of each task")
    parser.add_argument("--batch", type=int, default=16, help="the peer's batch size")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    if args.tasks == "phonelm7-tasks":
        args.tasks = ",".join(task.name for task in tasks_of("phonelm7"))
    return args


if __name__ == "__main__":
    sys.exit(main())
