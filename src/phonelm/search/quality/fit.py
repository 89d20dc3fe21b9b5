"""A study from its first training to the predictor fitted on it, in one folder."""

from __future__ import annotations

import time
from pathlib import Path

from phonelm.data import DataConfig, prepare
from phonelm.files import fingerprint, provenance
from phonelm.progress import Progress
from phonelm.search.quality.executor import ExecutorName, run_all
from phonelm.search.quality.fitting import MIN_SHAPES, fit_predictor
from phonelm.search.quality.predictor import Predictor
from phonelm.search.quality.runs import RunRecord, finished_run, make_task, write_table
from phonelm.search.quality.study import STUDY_FILE, StudyConfig, planned_runs
from phonelm.words import counted

TABLE_FILE = "runs.csv"
PREDICTOR_FILE = "predictor.json"


def fit_study(
    config: StudyConfig,
    out: Path,
    *,
    workers: int = 1,
    num_threads: int = 1,
    executor: ExecutorName = "local",
    progress: Progress | None = None,
) -> tuple[list[RunRecord], Predictor]:
    """Run a study (see `run_study`), fit a predictor on it and save it as `predictor.json` in the folder."""
    began = time.monotonic()
    if sum(size.shapes for size in config.sizes()) < MIN_SHAPES:
        raise ValueError(f"a predictor needs at least {MIN_SHAPES} shapes in all; take more of each size")
    records = run_study(
        config,
        out,
        workers=workers,
        num_threads=num_threads,
        executor=executor,
        progress=progress,
    )
    settings = config.model_dump(mode="json")
    made = provenance(config=settings, seed=config.seed, wall_s=round(time.monotonic() - began, 1))
    predictor = fit_predictor(records, made)
    predictor.save(out / PREDICTOR_FILE)
    return records, predictor


def run_study(
    config: StudyConfig,
    out: Path,
    *,
    workers: int = 1,
    num_threads: int = 1,
    executor: ExecutorName = "local",
    progress: Progress | None = None,
) -> list[RunRecord]:
    """Train all shapes of a study in the folder `out` and write their table; returns it.

    What is finished is not trained again and what is begun continues. Raises `ValueError` for a folder of
    another study, a corpus without text and sizes that no shape has; Ctrl-C and SIGTERM leave a folder that
    can be resumed.
    """
    progress = progress or Progress()
    runs = planned_runs(config)
    _claim(config, out)
    source = config.corpus if len(config.corpus) > 1 else config.corpus[0]
    data = DataConfig(source=source, vocab_size=config.vocab_size, max_bytes=config.max_bytes)
    prepare(data, out / "data", progress)
    tasks = [make_task(config, run, out, num_threads) for run in runs]
    records = {task.run.name: record for task in tasks if (record := finished_run(task))}
    left = [task for task in tasks if task.run.name not in records]
    progress.line(f"{len(records)} of {counted(len(tasks), 'training')} done; {len(left)} to go")
    with progress.bar("train", len(tasks)) as advance:
        advance(len(records))
        for record in run_all(left, executor, workers):
            records[record.name] = record
            advance(1)
            progress.line(
                f"{record.name}: {record.nats_per_byte:.4f} nats a byte in {record.wall_s:.0f} s "
                f"({len(records)} of {len(tasks)})"
            )
    table = [records[run.name] for run in runs]
    write_table(table, out / TABLE_FILE)
    return table


def _claim(config: StudyConfig, out: Path) -> None:
    """Make the folder this study's, or see that it is."""
    if not (out / STUDY_FILE).exists():
        if out.exists() and any(not path.name.startswith(".") for path in out.iterdir()):
            raise ValueError(f"{out} is not empty and holds no study; name another folder")
        out.mkdir(parents=True, exist_ok=True)
        config.save(out)
        return
    there = StudyConfig.load(out)
    if fingerprint(there.model_dump(mode="json")) != fingerprint(config.model_dump(mode="json")):
        differing = [n for n in StudyConfig.model_fields if getattr(there, n) != getattr(config, n)]
        raise ValueError(f"{out} holds another study ({', '.join(differing)} differ); name another folder")
