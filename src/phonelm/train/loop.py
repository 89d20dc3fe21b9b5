"""The training loop of every stage: deterministic, and resumed exactly where it was killed."""

from __future__ import annotations

from pathlib import Path

from phonelm.arch import DecoderConfig
from phonelm.data import DataManifest
from phonelm.files import fingerprint, read_json
from phonelm.progress import Progress
from phonelm.train.config import TrainConfig, TrainResult
from phonelm.train.device import threads
from phonelm.train.interrupt import held_back
from phonelm.train.memory import kept_memory
from phonelm.train.objective import NextToken, Objective
from phonelm.train.run import RESULT_FILE, Plan, Run
from phonelm.train.start import Beginning, identity, limits

_NO_INFLUENCE = {
    *("save_every_s", "save_every_steps", "log_every", "validate_every", "num_threads"),
    *("checkpoint_every_steps", "keep_checkpoints"),
}
"""Settings that do not decide the result (threads: but for rounding)."""


def train(
    config: TrainConfig,
    beginning: Beginning,
    data_folder: Path,
    out_folder: Path,
    *,
    init_from: Path | None = None,
    objective: Objective | None = None,
    progress: Progress,
) -> TrainResult:
    """Train a model on the shards of `data_folder` and write a Hugging Face folder with `train.json`.

    `beginning` is a decoder, which gets fresh weights, or a Hugging Face folder, whose weights are the start.
    An interrupted run resumes from its last save and ends with the same weights as one that was not;
    a finished one is not run again; one whose settings changed starts from scratch. `init_from` is the folder
    of an earlier stage: its weights, optimizer and place in the data are the start. Raises `ValueError` for
    settings that do not fit together or a loss that is not finite, `OSError` as the writes do; Ctrl-C and
    SIGTERM save first.
    """
    manifest = DataManifest.load(data_folder)
    _check_fit(config, beginning, manifest)
    objective = objective or NextToken()
    own_identity = _identity(config, beginning, manifest, init_from, objective)
    if finished := _finished(out_folder, own_identity):
        progress.line(f"{out_folder} is trained already")
        return finished
    plan = Plan(config, beginning, manifest, data_folder, out_folder, init_from, objective, own_identity)
    with threads(config.num_threads), kept_memory(), held_back() as interrupt:
        run = Run(plan, progress)
        with progress.bar("train", config.steps) as advance:
            advance(run.counters.step)
            run.train_remaining(interrupt, advance)
        return run.finish()


def _check_fit(config: TrainConfig, beginning: Beginning, manifest: DataManifest) -> None:
    vocab_size, context_length = limits(beginning)
    fresh = isinstance(beginning, DecoderConfig)
    # A base model's embedding may have more rows than its tokenizer has tokens.
    if vocab_size < manifest.vocab_size or (fresh and vocab_size != manifest.vocab_size):
        raise ValueError(
            f"the model has {vocab_size} tokens and the data {manifest.vocab_size}; "
            f"prepare the data with {'vocab_size ' + str(vocab_size) if fresh else 'its tokenizer'}"
        )
    if config.compile and manifest.conversations:
        raise ValueError("rows of conversations differ in each step and are not compiled; set compile: false")
    if config.sequence_length > context_length:
        raise ValueError(
            f"sequence_length {config.sequence_length} exceeds the model's context {context_length}"
        )


def _identity(
    config: TrainConfig,
    beginning: Beginning,
    manifest: DataManifest,
    init_from: Path | None,
    objective: Objective,
) -> str:
    """Hash of all that decides the weights; how often to save or report does not."""
    settings = config.model_dump(mode="json", exclude=_NO_INFLUENCE)
    start = None
    if init_from is not None:
        earlier = init_from / RESULT_FILE
        if not earlier.exists():
            raise ValueError(
                f"{init_from} holds no finished training ({RESULT_FILE} is missing); finish it first"
            )
        start = read_json(earlier)["identity"]
    parts = [settings, identity(beginning), manifest.content, start]
    chosen = objective.identity()
    return fingerprint(parts if chosen is None else [*parts, chosen])


def _finished(folder: Path, identity: str) -> TrainResult | None:
    path = folder / RESULT_FILE
    document = read_json(path) if path.exists() else {}
    if document.get("identity") != identity:
        return None
    return TrainResult(
        **{name: document[name] for name in TrainResult.model_fields if name != "folder"}, folder=folder
    )
