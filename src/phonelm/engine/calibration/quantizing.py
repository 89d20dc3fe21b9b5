"""A model to a GGUF file of fewer bits, its matrices rounded by what they read in a text."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from phonelm.engine.calibration.encoders import Compensated, Source, Weighted
from phonelm.engine.calibration.text import LEAST_TOKENS, WINDOW, read_windows
from phonelm.engine.loading import load_tokenizer, resolve
from phonelm.files import fingerprint, follow_links
from phonelm.formats import read_gguf_config, requantize_gguf
from phonelm.formats.gguf_reader import part_paths
from phonelm.progress import Progress
from phonelm.version import package_version

DEFAULT_TOKENS = 16384


@dataclass(frozen=True)
class CalibrationOptions:
    """The text that tells which inputs matter, how much of it is read, and what is done with it."""

    text: Path
    compensate: bool = False
    tokens: int = DEFAULT_TOKENS
    """At most."""

    def __post_init__(self) -> None:
        if self.tokens < LEAST_TOKENS:
            raise ValueError(f"{self.tokens} calibration tokens are too few; take {LEAST_TOKENS} or more")


def quantize_calibrated(
    model: str | Path,
    out: Path | str,
    kind: str,
    options: CalibrationOptions,
    embedding_type: str | None = None,
    progress: Progress | None = None,
    allow_requantize: bool = False,
) -> dict[str, Any]:
    """Write a model, named as for `load`, as `requantize_gguf` does, rounded by importance or compensated.

    What compensation has finished lies beside the output until that is whole, so that the same call goes on
    where it was stopped. Returns the summary with `calibration`: the text, its tokens, and how many matrices
    were `compensated`, `weighted` or `plain`. Raises `ValueError` for a text that is too short or no text,
    `OSError` for one that cannot be read, and what `requantize_gguf` raises.
    """
    progress, path = progress or Progress(), resolve(model)
    source = _source(path, options, progress)
    arguments = (path, out, kind, embedding_type, progress, allow_requantize)
    if options.compensate:
        identity = [kind, embedding_type, *_identity(path, options)]
        with _kept_matrices(Path(out), identity) as folder:
            encode: Compensated | Weighted = Compensated(source, folder)
            summary = requantize_gguf(*arguments, encode)
    else:
        encode = Weighted(source, range(source.num_layers))
        summary = requantize_gguf(*arguments, encode)
    if encode.plain_types:
        types = ", ".join(sorted(encode.plain_types)).upper()
        progress.line(f"{types}: rounded plainly ({encode.ways['plain']} of the matrices)")
    calibration = {"tokens": source.num_tokens, **{way: encode.ways[way] for way in sorted(encode.ways)}}
    summary["made"]["config"] |= {key: _plain(value) for key, value in asdict(options).items()}
    return summary | {"calibration": calibration}


def _source(path: Path, options: CalibrationOptions, progress: Progress) -> Source:
    config = read_gguf_config(path)
    window = min(WINDOW, config.context_length)
    windows = read_windows(options.text, load_tokenizer(path), options.tokens, window)
    return Source(path, windows, config.num_layers, config.head.tied, progress)


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, Path) else value


def _identity(path: Path, options: CalibrationOptions) -> list[Any]:
    """What finished matrices depend on, beside their types."""
    states = [(str(part), part.stat().st_size, part.stat().st_mtime_ns) for part in part_paths(path)]
    text = hashlib.sha256(options.text.read_bytes()).hexdigest()
    return [package_version(), states, text, options.tokens]


@contextlib.contextmanager
def _kept_matrices(out: Path, identity: list[Any]) -> Iterator[Path]:
    """A folder beside the output with what a run with the same input has finished; gone when all is done."""
    target = follow_links(out)
    folder = target.with_name(f".{target.name}.matrices")
    key = folder / fingerprint(identity)
    if not key.is_file():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        key.touch()
    is_done = False
    try:
        yield folder
        is_done = True
    finally:
        if is_done or not any(folder.glob("*.npy")):
            shutil.rmtree(folder, ignore_errors=True)
