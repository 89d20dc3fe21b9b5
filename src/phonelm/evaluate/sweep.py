"""All types of a model against each other on this machine: size, speed, and what each costs in quality."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from phonelm.arch.arithmetic import count_parameters
from phonelm.devices import machine_info
from phonelm.engine import Model, load, resolve
from phonelm.engine.calibration import Calibration, CalibrationOptions
from phonelm.evaluate.comparison import compare
from phonelm.evaluate.perplexity import measure_perplexity
from phonelm.evaluate.speed import Speed, measure_speeds
from phonelm.evaluate.texts import EvaluationText, read_text
from phonelm.evaluate.windows import CONTEXT, Window, text_windows
from phonelm.files import fingerprint, provenance, read_json, write_json
from phonelm.formats import requantize_gguf
from phonelm.formats.gguf_reader import part_paths
from phonelm.formats.mixtures import file_kind
from phonelm.progress import Progress

TYPES = (
    "q8_0", "q6_k", "q5_k_m", "q5_1", "q5_k_s", "q5_0", "q4_k_m", "q4_k_s", "q4_1", "q4_0", "iq4_nl",
    "q3_k_l", "q3_k_m", "q3_k_s", "q2_k",
)  # fmt: skip
"""What is measured if nothing is chosen: all kinds of quantized files."""
SOURCE, PLAIN, IMPORTANCE, COMPENSATED = "source", "plain", "importance", "compensated"
_ROWS = "sweep.json"


@dataclass(frozen=True)
class SweepOptions:
    """The text that files are judged on, the one they are calibrated on if any, and how much of both."""

    text: Path
    importance: Path | None = None
    types: tuple[str, ...] = TYPES
    tokens: int = 4096
    calibration_tokens: int = CalibrationOptions.tokens


@dataclass(frozen=True)
class SweepRow:
    """A file: its size, its speed here, and its next-token distributions against the source's.

    Divergences are KL(source || file) in nats, `top1_agreement` is a share, and `perplexity_ratio` is the
    file's perplexity over the source's.
    """

    type: str
    way: str
    bits_per_weight: float
    file_bytes: int
    decode_tok_s: float
    prefill_tok_s: float
    kl_mean: float
    kl_p99: float
    top1_agreement: float
    perplexity_ratio: float
    quantize_s: float


@dataclass(frozen=True)
class Sweep:
    """The rows of a source, which comes first, and how they were made."""

    model: str
    machine: str
    perplexity: float
    """The source's."""
    num_tokens: int
    """Scored ones."""
    rows: tuple[SweepRow, ...]
    made: dict[str, Any]


def run_sweep(
    model: str | Path, folder: Path, options: SweepOptions, progress: Progress | None = None
) -> Sweep:
    """Quantize a model, named as for `load`, in every type and way, and measure each file.

    Rows are kept in `sweep.json` of the folder as they come; those that are there, of the same source, texts,
    settings and machine, are not measured again. Raises `ValueError` for texts that cannot be used, and for a
    calibration text that is the text to measure on.
    """
    progress, path, kinds = progress or Progress(), resolve(model), _kinds(options.types)
    text = read_text(options.text)
    if options.importance and read_text(options.importance).sha256 == text.sha256:
        raise ValueError(
            f"{options.importance} is also the text to measure on, where a calibrated file would look better "
            "than it is; give another with --text"
        )
    started = time.perf_counter()
    with load(path) as source:
        windows = _windows(source, text, options.tokens)
        run = _Run(source, windows, folder, _identity(path, text, options), progress)
        wanted = [(SOURCE, PLAIN), *_wanted(kinds, options.importance is not None)]
        for key in wanted:
            if key not in run.rows:
                run.add(*key, options)
    return Sweep(
        str(model),
        machine_info().model,
        run.perplexity,
        sum(window.num_scored for window in windows),
        tuple(run.rows[key] for key in wanted),
        provenance(config=_settings(options), wall_s=round(time.perf_counter() - started, 1)),
    )


def _kinds(types: tuple[str, ...]) -> list[str]:
    """The kinds' own names; `ValueError` for one that there is not, or none."""
    kinds = list(dict.fromkeys(file_kind(name) for name in types))
    if not kinds:
        raise ValueError("there are no types to measure; name at least one")
    return kinds


def _wanted(kinds: list[str], calibrated: bool) -> Iterator[tuple[str, str]]:
    for kind in kinds:
        yield kind, PLAIN
        # Types without scales to search are the same in every way.
        if calibrated and kind not in ("f32", "f16", "bf16", "q8_0"):
            yield kind, IMPORTANCE
            yield kind, COMPENSATED


def _windows(source: Model, text: EvaluationText, tokens: int) -> list[Window]:
    size = min(CONTEXT, source.context_length)
    return text_windows(source.tokenizer, text.documents, size, size // 2, tokens).windows


def _settings(options: SweepOptions) -> dict[str, Any]:
    return {key: str(value) if isinstance(value, Path) else value for key, value in asdict(options).items()}


def _identity(path: Path, text: EvaluationText, options: SweepOptions) -> str:
    states = [(str(part), part.stat().st_size, part.stat().st_mtime_ns) for part in part_paths(path)]
    calibration = read_text(options.importance).sha256 if options.importance else None
    counts = [options.tokens, options.calibration_tokens]
    return fingerprint([states, text.sha256, calibration, counts, machine_info().fingerprint])


class _Run:
    """Measures rows and keeps them in the folder's file."""

    def __init__(
        self, source: Model, windows: list[Window], folder: Path, identity: str, progress: Progress
    ) -> None:
        self._source, self._windows, self._folder = source, windows, folder
        self._identity, self._progress = identity, progress
        self._calibration: Calibration | None = None
        self.perplexity = 0.0
        self.rows = self._kept()

    def add(self, kind: str, way: str, options: SweepOptions) -> None:
        """Write a file, measure it, and keep the row; the file goes."""
        if kind == SOURCE:
            self.perplexity = measure_perplexity(self._source, self._windows, self._progress)[0].perplexity
            self._keep(self._source_row())
            return
        path = self._folder / f".{kind}-{way}.gguf"
        started = time.perf_counter()
        try:
            summary = self._write(kind, way, path, options)
            seconds = time.perf_counter() - started
            with load(path) as model:
                self._keep(self._measure(kind, way, model, summary["bits_per_weight"], seconds))
        finally:
            path.unlink(missing_ok=True)

    def _write(self, kind: str, way: str, path: Path, options: SweepOptions) -> dict[str, Any]:
        if way == PLAIN:
            return requantize_gguf(self._source.path, path, kind, progress=self._progress)
        if self._calibration is None:
            assert options.importance is not None
            calibration = CalibrationOptions(options.importance, tokens=options.calibration_tokens)
            self._calibration = Calibration.read(self._source.path, calibration, self._progress)
        return self._calibration.quantize(path, kind, compensate=way == COMPENSATED)

    def _measure(self, kind: str, way: str, model: Model, bits: float, seconds: float) -> SweepRow:
        speed = self._speed(model)
        result = compare(self._source, model, self._windows, self._progress)
        return SweepRow(
            type=kind,
            way=way,
            bits_per_weight=bits,
            file_bytes=model.native.file_bytes,
            decode_tok_s=speed.decode_tok_s,
            prefill_tok_s=speed.prefill_tok_s,
            kl_mean=result.kl_mean,
            kl_p99=result.kl_p99,
            top1_agreement=result.top1_agreement,
            perplexity_ratio=result.perplexity_ratio,
            quantize_s=round(seconds, 1),
        )

    def _source_row(self) -> SweepRow:
        num_bytes: int = self._source.native.file_bytes
        bits = round(8 * num_bytes / count_parameters(self._source.config).total, 3)
        speed = self._speed(self._source)
        rates = (speed.decode_tok_s, speed.prefill_tok_s)
        return SweepRow(SOURCE, PLAIN, bits, num_bytes, *rates, 0.0, 0.0, 1.0, 1.0, 0.0)

    def _speed(self, model: Model) -> Speed:
        tokens = [token for window in self._windows for token in window.tokens]
        return measure_speeds([model], tokens, self._progress)[0]

    def _keep(self, row: SweepRow) -> None:
        self.rows[row.type, row.way] = row
        rows = [asdict(row) for row in self.rows.values()]
        document = {"identity": self._identity, "perplexity": self.perplexity, "rows": rows}
        write_json(self._folder / _ROWS, document)

    def _kept(self) -> dict[tuple[str, str], SweepRow]:
        """The rows that were measured of the same; none of another source, text, setting or machine."""
        path = self._folder / _ROWS
        if not path.is_file():
            return {}
        document = read_json(path)
        if not isinstance(document, dict) or document.get("identity") != self._identity:
            return {}
        try:
            rows = [SweepRow(**row) for row in document["rows"]]
            self.perplexity = float(document["perplexity"])
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{path} is damaged ({error}); delete it to have its rows measured") from error
        return {(row.type, row.way): row for row in rows}
