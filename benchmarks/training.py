"""How fast a model trains here beside Hugging Face's Trainer, and in how much memory.

The same model, tokens, batch, optimizer and precision on the same cores, each run in a process of its own,
ours and the peer's in turn:

text    windows of --length tokens
chats   conversations of 20 to --length tokens, one epoch: packed rows here, padded batches in the Trainer

ours_tok_s, peer_tok_s    tokens of text or of conversations (no padding) a second, first steps included
ratio                     ours / peer's
ours_peak_mb, peer_peak_mb  largest resident memory of the process
mfu                       ours: 6 x parameters x tokens a second over the machine's matrix products a second

With --json one document, {made, machine, rows}, to standard output.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from phonelm.arch import DecoderConfig, count_parameters, preset
from phonelm.data.manifest import DataManifest, Split
from phonelm.data.shards import ConversationWriter, ShardWriter
from phonelm.data.tokenizer import save_tokenizer, train_tokenizer
from phonelm.devices import machine_record
from phonelm.files import provenance, temporary_folder, write_json
from phonelm.progress import Progress
from phonelm.train import TrainConfig, train
from phonelm.train.device import choose_dtype
from phonelm.train.model import PhoneLMForCausalLM, decoder_to_hf

NUM_TOKENS = 300
"""Of the tokens that occur; the model's vocabulary is as large as it is."""
Row = dict[str, Any]


def main() -> int:
    args = _arguments()
    if args.worker:
        print(json.dumps(_worker(args)))
        return 0
    rate = _products_per_s()
    rows = [
        _compared(args, model, task, rate) for model in args.models.split(",") for task in ("text", "chats")
    ]
    document = {
        "made": provenance(config={k: str(v) for k, v in vars(args).items()}),
        "machine": machine_record(),
    }
    if args.json:
        print(json.dumps({**document, "rows": rows}))
    return 0


def _decoder(name: str) -> DecoderConfig:
    if name != "nano":
        return preset(name)
    return DecoderConfig(
        vocab_size=4096,
        hidden_size=224,
        num_layers=6,
        num_heads=7,
        num_kv_heads=7,
        head_dim=32,
        intermediate_size=640,
        activation="relu",
        rope_table="int8",
        context_length=512,
    )


def _compared(args: argparse.Namespace, model: str, task: str, products_per_s: float) -> Row:
    """The better of --rounds of each, which take turns."""
    runs: dict[str, list[Row]] = {"ours": [], "peer": []}
    for _ in range(args.rounds):
        for side, found in runs.items():
            command = [
                *(sys.executable, __file__, "--worker", side, "--models", model, "--task", task),
                *("--steps", str(args.steps), "--batch", str(args.batch), "--length", str(args.length)),
            ]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            found.append(json.loads(done.stdout.splitlines()[-1]))
    ours, peer = (max(found, key=lambda run: float(run["tok_s"])) for found in runs.values())
    decoder = _decoder(model)
    row = {
        "model": f"{model} {task}",
        "ours_tok_s": ours["tok_s"],
        "peer_tok_s": peer["tok_s"],
        "ratio": ours["tok_s"] / peer["tok_s"],
        "ours_peak_mb": ours["peak_mb"],
        "peer_peak_mb": peer["peak_mb"],
        "memory_ratio": ours["peak_mb"] / peer["peak_mb"],
        "dtype": ours["dtype"],
        "mfu": 6 * count_parameters(decoder).total * ours["tok_s"] / (2 * products_per_s),
    }
    print(
        f"{row['model']:20} ours {ours['tok_s']:8.0f} tokens/s, {ours['peak_mb']:6.0f} MB   Trainer "
        f"{peer['tok_s']:8.0f} tokens/s, {peer['peak_mb']:6.0f} MB   ratio {row['ratio']:.2f}, memory "
        f"{row['memory_ratio']:.2f}  ({row['dtype']}, {row['mfu']:.0%} of matrix products)",
        file=sys.stderr,
        flush=True,
    )
    return row


def _products_per_s() -> float:
    """Multiply-adds a second of a large matrix product in the precision of training."""
    dtype = choose_dtype(TrainConfig(steps=1), torch.device("cpu"))
    left, right = torch.randn(1024, 1024).to(dtype), torch.randn(1024, 1024).to(dtype)
    best = 0.0
    for _ in range(20):
        begun = time.perf_counter()
        left @ right
        best = max(best, 1024**3 / (time.perf_counter() - begun))
    return best


def _worker(args: argparse.Namespace) -> Row:
    torch.manual_seed(0)
    with temporary_folder() as name:
        folder = Path(name)
        decoder = _decoder(args.models)
        documents = _documents(args)
        base = folder / "base"
        PhoneLMForCausalLM(decoder_to_hf(decoder)).save_pretrained(base)
        run = _ours if args.worker == "ours" else _peer
        num_tokens, seconds = run(args, documents, base, folder)
    dtype = choose_dtype(TrainConfig(steps=1), torch.device("cpu"))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
    return {"tok_s": num_tokens / seconds, "peak_mb": peak, "dtype": str(dtype).removeprefix("torch.")}


def _documents(args: argparse.Namespace) -> list[np.ndarray[Any, Any]]:
    """Windows of text, or conversations whose lengths spread as real ones' do, in about as many tokens."""
    generator = np.random.default_rng(0)
    total = args.steps * args.batch * args.length
    if args.task == "text":
        return [generator.integers(3, NUM_TOKENS, args.length + 1) for _ in range(args.steps * args.batch)]
    documents: list[np.ndarray[Any, Any]] = []
    while sum(map(len, documents)) < total:
        length = int(np.clip(generator.lognormal(np.log(args.length / 5), 0.8), 20, args.length))
        documents.append(generator.integers(3, NUM_TOKENS, length))
    return documents


def _ours(
    args: argparse.Namespace, documents: list[np.ndarray[Any, Any]], base: Path, folder: Path
) -> tuple[int, float]:
    data = folder / "data"
    data.mkdir()
    save_tokenizer(train_tokenizer(["some text"], NUM_TOKENS), data)
    parts = {
        "train": _split(args, data, "train", documents),
        "valid": _split(args, data, "valid", documents[:1]),
    }
    manifest = DataManifest(
        fingerprint="",
        content="",
        seed=0,
        vocab_size=_decoder(args.models).vocab_size,
        conversations=args.task == "chats",
        duplicates=0,
        made={},
        **parts,
    )
    write_json(data / "data.json", manifest.model_dump(mode="json"))
    rows = manifest.rows(data, "train", args.length)
    config = TrainConfig(
        steps=max(1, len(rows) // args.batch),
        batch_size=args.batch,
        sequence_length=args.length,
        valid_tokens=1,
        sample_tokens=0,
        save_every_s=1e9,
    )
    result = train(config, base, data, folder / "out", progress=Progress())
    per_step = (
        sum(map(len, documents)) / len(rows) * args.batch if args.task == "chats" else config.tokens_per_step
    )
    return round(config.steps * per_step), result.tokens / result.tokens_per_s


def _split(args: argparse.Namespace, data: Path, name: str, documents: list[np.ndarray[Any, Any]]) -> Split:
    vocab_size = _decoder(args.models).vocab_size
    if args.task == "chats":
        with ConversationWriter(data, name, vocab_size) as chats:
            for document in documents:
                chats.append(document, np.arange(len(document)) >= len(document) // 2)
        return Split(shards=chats.shards, documents=len(documents), tokens=chats.tokens, bytes=0)
    with ShardWriter(data, name, vocab_size) as text:
        for document in documents:
            text.append(document[:-1])
        text.append(documents[-1][-1:])
    return Split(shards=text.shards, documents=len(documents), tokens=text.tokens, bytes=0)


def _peer(
    args: argparse.Namespace, documents: list[np.ndarray[Any, Any]], base: Path, folder: Path
) -> tuple[int, float]:
    from transformers import AutoModelForCausalLM, Trainer, TrainingArguments

    import phonelm.hf  # noqa: F401  registers the model type

    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    rows = [_labelled(document, args.task) for document in documents]
    arguments = TrainingArguments(
        output_dir=str(folder / "out"),
        per_device_train_batch_size=_rows_a_batch(args, documents),
        num_train_epochs=1,
        learning_rate=1e-3,
        lr_scheduler_type="constant",
        weight_decay=0.1,
        adam_beta2=0.95,
        optim="adamw_torch_fused",
        bf16=choose_dtype(TrainConfig(steps=1), torch.device("cpu")) is torch.bfloat16,
        use_cpu=True,
        save_strategy="no",
        logging_strategy="no",
        report_to="none",
        disable_tqdm=True,
    )
    trainer = Trainer(model=model, args=arguments, train_dataset=rows, data_collator=_padded)
    return sum(map(len, documents)), float(trainer.train().metrics["train_runtime"])


def _rows_a_batch(args: argparse.Namespace, documents: list[np.ndarray[Any, Any]]) -> int:
    """As many documents as have a step's tokens on average."""
    mean = sum(map(len, documents)) / len(documents)
    return max(1, round(args.batch * args.length / mean))


def _labelled(document: np.ndarray[Any, Any], task: str) -> Row:
    labels = document.copy()
    if task == "chats":
        labels[: len(labels) // 2] = -100
    return {"input_ids": document.tolist(), "labels": labels.tolist()}


def _padded(rows: list[Row]) -> dict[str, torch.Tensor]:
    """As transformers' collators pad: on the right, to the longest of the batch."""
    longest = max(len(row["input_ids"]) for row in rows)

    def column(name: str, filler: int) -> torch.Tensor:
        return torch.tensor([row[name] + [filler] * (longest - len(row[name])) for row in rows])

    ids = column("input_ids", 0)
    mask = torch.tensor([[1] * len(r["input_ids"]) + [0] * (longest - len(r["input_ids"])) for r in rows])
    return {"input_ids": ids, "attention_mask": mask, "labels": column("labels", -100)}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", default="nano,smollm2-135m", help="nano, or presets")
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--batch", type=int, default=4, help="rows of a step")
    parser.add_argument("--length", type=int, default=512, help="tokens of a row")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--worker", choices=("ours", "peer"), help=argparse.SUPPRESS)
    parser.add_argument("--task", choices=("text", "chats"), default="text", help=argparse.SUPPRESS)
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
