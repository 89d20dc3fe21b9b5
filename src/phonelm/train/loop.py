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
from phonelm.train.run import RESULT_FILE, Plan, Run

_NO_INFLUENCE = {"save_every_s", "save_every_steps", "log_every", "validate_every", "num_threads"}
"""Settings that do not decide the result (threads: but for rounding)."""


def train(
    config: TrainConfig,
    decoder: DecoderConfig,
    data_folder: Path,
    out_folder: Path,
    *,
    init_from: Path | None = None,
    progress: Progress,
) -> TrainResult:
    """Train `decoder` on the shards of `data_folder` and write a Hugging Face folder with `train.json`.

    An interrupted run resumes from its last save and ends with the same weights as one that was not;
    a finished one is not run again; one whose settings changed starts from scratch. `init_from` is the folder
    of an earlier stage: its weights, optimizer and place in the data are the start. Raises `ValueError` for
    settings that do not fit together or a loss that is not finite, `OSError` as the writes do; Ctrl-C and
    SIGTERM save first.
    """
    manifest = DataManifest.load(data_folder)
    _check_fit(config, decoder, manifest)
    identity = _identity(config, decoder, manifest, init_from)
    if finished := _finished(out_folder, identity):
        progress.line(f"{out_folder} is trained already")
        return finished
    plan = Plan(config, decoder, manifest, data_folder, out_folder, init_from, identity)
    with threads(config.num_threads), held_back() as interrupt:
        run = Run(plan, progress)
        with progress.bar("train", config.steps) as advance:
            advance(run.counters.step)
            run.train_remaining(interrupt, advance)
        return run.finish()


def _check_fit(config: TrainConfig, decoder: DecoderConfig, manifest: DataManifest) -> None:
    if decoder.vocab_size != manifest.vocab_size:
        raise ValueError(
            f"the decoder has {decoder.vocab_size} tokens and the data {manifest.vocab_size}; "
            f"prepare the data with vocab_size {decoder.vocab_size}"
        )
    if config.sequence_length > decoder.context_length:
        raise ValueError(
            f"sequence_length {config.sequence_length} exceeds the decoder's context {decoder.context_length}"
        )


def _identity(
    config: TrainConfig, decoder: DecoderConfig, manifest: DataManifest, init_from: Path | None
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
    return fingerprint([settings, decoder.model_dump(mode="json"), manifest.content, start])


def _finished(folder: Path, identity: str) -> TrainResult | None:
    path = folder / RESULT_FILE
    document = read_json(path) if path.exists() else {}
    if document.get("identity") != identity:
        return None
    return TrainResult(
        **{name: document[name] for name in TrainResult.model_fields if name != "folder"}, folder=folder
    )
