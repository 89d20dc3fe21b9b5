"""Runs the suite: one model at a time, each in a separate process; finished rows are kept."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from phonelm.arch import count_parameters, kv_bytes_per_token
from phonelm.arch.arithmetic import BLOCKS, known_type, stored_type, tensor_bytes
from phonelm.arch.config import DecoderConfig
from phonelm.arch.tensors import TensorShape, model_tensors
from phonelm.bench.suite.entries import Entry, Selection
from phonelm.bench.suite.measure import CONTEXT_LENGTH
from phonelm.bench.suite.meter import LocalMeter, Meter
from phonelm.bench.suite.result import SuiteRow, row_key
from phonelm.bench.suite.store import append_row, read_rows
from phonelm.devices import DeviceGoneError
from phonelm.files import cache_folder, temporary_folder
from phonelm.preconditions import require_writable
from phonelm.progress import Progress

QUANTIZATIONS = ("f16", "q8_0", "q6_k", "q5_k", "q4_k", "q4_0", "q3_k", "q2_k")
"""Types of the figure of latency by quantization, the largest first."""
QUANTIZED_MODEL = "TinyLlama-1.1B"
"""Measured in all of them where no types are asked for: rows of all its matrices are whole blocks of each."""
_ROOM = 1.05
"""Of the disk: a file has a header, and a folder entries."""


@dataclass(frozen=True)
class SuiteOptions:
    """How to measure. `quantizations` None: Q4_0, and one model in all types."""

    quantizations: tuple[str, ...] | None = None
    threads: int | None = None
    isa: str | None = None

    @property
    def settings(self) -> dict[str, int | str]:
        """What is forced, as rows keep it."""
        forced: dict[str, int | str | None] = {"threads": self.threads, "isa": self.isa}
        return {name: value for name, value in forced.items() if value is not None}

    def types_for(self, entry: Entry) -> tuple[str, ...]:
        """Block types in which a model is measured."""
        if self.quantizations is not None:
            return self.quantizations
        return QUANTIZATIONS if QUANTIZED_MODEL in entry.names else ("q4_0",)


@dataclass
class Outcome:
    """Rows that were asked for, measured now or before, and what was left out with the reason."""

    rows: list[SuiteRow] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class _Job:
    entry: Entry
    block_type: str
    head_type: str

    @property
    def label(self) -> str:
        return f"{' = '.join(self.entry.names)}, {self.block_type}"


def default_path() -> Path:
    """Where the suite's rows are kept if no file is named."""
    return cache_folder() / "suite" / "slm.jsonl"


def run_suite(
    selection: Selection,
    path: Path,
    options: SuiteOptions,
    progress: Progress,
    meter: Meter | None = None,
) -> Outcome:
    """Measure what the file has no row of yet, and keep each row as soon as it is there.

    `meter` None is this machine.

    Raises `ValueError` for a broken file or an unknown type, `OSError` when the file cannot be written,
    `DeviceGoneError`.
    """
    done = {row.key: row for row in read_rows(path)}
    meter = meter or LocalMeter()
    outcome = Outcome(left_out=dict(selection.left_out))
    jobs = list(_jobs(selection.entries, options))
    if any(_key(job, meter, options) not in done for job in jobs):
        require_writable(path)
    for number, job in enumerate(jobs, 1):
        key = _key(job, meter, options)
        if reason := "" if key in done else _obstacle(job, meter):
            outcome.left_out[job.label] = reason
            continue
        try:
            row = done.get(key) or _measure(job, meter, options)
        except DeviceGoneError:
            raise
        except (ValueError, MemoryError) as error:
            outcome.left_out[job.label] = str(error)
            progress.line(f"{number}/{len(jobs)} {job.label}: {error}")
            continue
        progress.line(f"{number}/{len(jobs)} {job.label}: {_words(row)}{' (kept)' if key in done else ''}")
        outcome.rows.append(row)
        if key not in done:
            append_row(path, row)
    return outcome


def _jobs(entries: Sequence[Entry], options: SuiteOptions) -> Iterator[_Job]:
    for entry in entries:
        for block_type in options.types_for(entry):
            yield _Job(entry, known_type(block_type), head_type(entry.shape, known_type(block_type)))


def head_type(shape: DecoderConfig, block_type: str) -> str:
    """Type of the output matrix, as llama.cpp's files of that block type have it.

    Q6_K, Q8_0 where rows are no whole blocks of that; files of Q8_0 and floats have one type throughout.
    """
    if block_type in ("f32", "f16", "bf16", "q8_0"):
        return block_type
    return "q6_k" if shape.hidden_size % BLOCKS["q6_k"][0] == 0 else "q8_0"


def _stored(job: _Job) -> Iterator[tuple[TensorShape, str]]:
    """The model's tensors with their types; a table that is not the head too has the blocks' type."""
    outer = {"embedding": _embedding_type(job), "head": job.head_type}
    for tensor in model_tensors(job.entry.shape):
        yield tensor, stored_type(tensor, job.block_type, outer.get(tensor.role, job.head_type))


def _embedding_type(job: _Job) -> str:
    return job.head_type if job.entry.shape.head.tied else job.block_type


def _obstacle(job: _Job, meter: Meter) -> str:
    """Why a model cannot be measured here and now; empty if it can."""
    size = 0
    for tensor, weight_type in _stored(job):
        if tensor.role == "matrix" and weight_type != job.block_type:
            return f"rows of {tensor.shape[-1]} numbers are no whole blocks of {job.block_type}"
        size += tensor_bytes(tensor.shape, weight_type)
    with temporary_folder() as folder:
        free = shutil.disk_usage(folder).free
        if size * _ROOM > free:
            return f"needs a file of {size / 1e9:.1f} GB, and {Path(folder).parent} has {free / 1e9:.1f} free"
    return meter.obstacle(size + CONTEXT_LENGTH * kv_bytes_per_token(job.entry.shape))


def _measure(job: _Job, meter: Meter, options: SuiteOptions) -> SuiteRow:
    from phonelm.formats import write_random_gguf

    with temporary_folder() as folder:
        path = Path(folder) / "model.gguf"
        types = (job.block_type, _embedding_type(job))
        write_random_gguf(path, job.entry.shape, *types, head_type=job.head_type)
        measured = meter.measure(path, {"num_threads": options.threads, "isa": options.isa})
    return SuiteRow(
        **measured.model_dump(),
        machine=meter.machine,
        kernels=meter.kernels,
        settings=options.settings,
        shape=job.entry.shape,
        parameters=count_parameters(job.entry.shape).total,
        block_type=job.block_type,
        head_type=job.head_type,
        measured_as=job.entry.names[0],
        made_at=time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    )


def _key(job: _Job, meter: Meter, options: SuiteOptions) -> str:
    types = (job.block_type, job.head_type)
    return row_key(meter.machine, meter.kernels, options.settings, job.entry.shape, types)


def _words(row: SuiteRow) -> str:
    first, last = row.prompts[0], row.prompts[-1]
    return (
        f"prefill {first.prefill_tok_s:,.0f} and {last.prefill_tok_s:,.0f}, "
        f"decode {first.decode_tok_s:,.1f} and {last.decode_tok_s:,.1f} tokens/s, "
        f"{row.peak_rss_bytes / 1e6:,.0f} MB"
    )
