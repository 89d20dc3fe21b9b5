"""A model to a GGUF file of fewer bits, its matrices rounded by what they read in a text."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from phonelm.engine.calibration.encoders import Compensated, Source, Weighted
from phonelm.engine.calibration.text import LEAST_TOKENS, WINDOW, read_windows
from phonelm.engine.loading import load_tokenizer, resolve
from phonelm.files import file_hash, fingerprint, follow_links, is_stream, temporary_folder
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


class Calibration:
    """A model and the text that it reads, for any number of files of fewer bits."""

    def __init__(self, source: Source, text: Path, tokens: int) -> None:
        self._source, self._text, self._tokens = source, text, tokens

    @classmethod
    def read(
        cls, model: str | Path, options: CalibrationOptions, progress: Progress | None = None
    ) -> Calibration:
        """Read the text; the model, named as for `load`, is read when it is needed.

        Raises `ValueError` for a text that is too short or no text, `OSError` for one that cannot be read.
        """
        path = resolve(model)
        config = read_gguf_config(path)
        window = min(WINDOW, config.context_length)
        windows = read_windows(options.text, load_tokenizer(path), options.tokens, window)
        source = Source(path, windows, config.num_layers, config.head.tied, progress or Progress())
        return cls(source, options.text, options.tokens)

    def quantize(
        self,
        out: Path | str,
        kind: str,
        compensate: bool = False,
        embedding_type: str | None = None,
        allow_requantize: bool = False,
    ) -> dict[str, Any]:
        """Write the model as `requantize_gguf` does, rounded by importance or compensated.

        What compensation has finished lies beside the output until that is whole, so that the same call goes
        on where it was stopped. Returns the summary with `calibration`: the text's tokens, and how many
        matrices were `compensated`, `weighted` or `plain`. Raises what `requantize_gguf` raises.
        """
        with contextlib.ExitStack() as stack:
            encode = Weighted(self._source)
            if compensate:
                identity = [kind, embedding_type, *self._identity()]
                folder = stack.enter_context(_kept_matrices(Path(out), identity))
                encode = Compensated(self._source, folder=folder)
            progress = self._source.progress
            summary = requantize_gguf(
                self._source.path, out, kind, embedding_type, progress, allow_requantize, encode
            )
        if encode.plain_types:
            types = ", ".join(sorted(encode.plain_types)).upper()
            progress.line(f"{types}: rounded plainly ({encode.ways['plain']} of the matrices)")
        text = {"text": str(self._text), "compensate": compensate, "tokens": self._source.num_tokens}
        summary["made"]["config"] |= text
        ways = {way: encode.ways[way] for way in sorted(encode.ways)}
        return summary | {"calibration": {"tokens": self._source.num_tokens, **ways}}

    def _identity(self) -> list[Any]:
        """What finished matrices depend on, beside their types."""
        parts = part_paths(self._source.path)
        states = [(str(part), part.stat().st_size, part.stat().st_mtime_ns) for part in parts]
        text = file_hash(self._text)
        return [package_version(), states, text, self._tokens]


def quantize_calibrated(
    model: str | Path,
    out: Path | str,
    kind: str,
    options: CalibrationOptions,
    embedding_type: str | None = None,
    progress: Progress | None = None,
    allow_requantize: bool = False,
) -> dict[str, Any]:
    """Write a model, named as for `load`, as GGUF of fewer bits: `Calibration.read`, then `quantize`."""
    calibration = Calibration.read(model, options, progress)
    return calibration.quantize(out, kind, options.compensate, embedding_type, allow_requantize)


@contextlib.contextmanager
def _kept_matrices(out: Path, identity: list[Any]) -> Iterator[Path]:
    """A folder beside the output with what a run with the same input has finished; gone when all is done.

    Beside a pipe or a device nothing is kept.
    """
    target = follow_links(out)
    if is_stream(target):
        with temporary_folder() as temporary:
            yield Path(temporary)
        return
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
