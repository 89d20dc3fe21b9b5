from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("torch")

from phonelm.progress import Progress
from phonelm.search.quality import Predictor
from phonelm.search.quality import fit as fit_module
from phonelm.search.quality.executor import run_locally, run_with_ray
from phonelm.search.quality.fit import fit_study, run_study
from phonelm.search.quality.runs import Task, make_task, read_table, train_run
from phonelm.search.quality.study import StudyConfig, planned_runs
from phonelm.search.space import Range, SpaceConfig

SPACE = SpaceConfig(
    hidden=Range(min=64, max=96, step=32), layers=Range(min=1, max=3), head_dim=[16, 32], ffn_ratio=(0.5, 4)
)


class Lines(Progress):
    """Keeps what is reported."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def line(self, text: str) -> None:
        self.lines.append(text)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    for number in range(40):
        words = [f"{chr(97 + (number * i) % 19)}{chr(97 + i % 7)}" for i in range(300)]
        (folder / f"{number}.txt").write_text(" ".join(words) + ".\n")
    return folder


@pytest.fixture(scope="module")
def study(corpus: Path) -> StudyConfig:
    """Nine trainings of a fraction of a second each."""
    return StudyConfig(
        params=(90_000,),
        shapes=(8,),
        tokens=(640,),
        repeats=(1,),
        tolerance=0.1,
        corpus=(str(corpus),),
        vocab_size=320,
        sequence_length=16,
        batch_size=2,
        valid_tokens=256,
        dtype="float32",
        space=SPACE,
    )


@pytest.fixture
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Train without other processes; returns the names of what was trained."""
    trained = []

    def run_all(tasks: list[Task], *_: object) -> object:
        for task in tasks:
            trained.append(task.run.name)
            yield train_run(task)

    monkeypatch.setattr(fit_module, "run_all", run_all)
    return trained


def test_an_interrupted_study_goes_on(
    study: StudyConfig, tmp_path: Path, in_this_process: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, _ = fit_study(study, tmp_path / "whole")
    names = [run.name for run in planned_runs(study)]
    assert in_this_process == names

    def stopped(tasks: list[Task], *_: object) -> object:
        for task in tasks[:3]:
            yield train_run(task)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(fit_module, "run_all", stopped)
        with pytest.raises(KeyboardInterrupt):
            run_study(study, tmp_path / "stopped")
    in_this_process.clear()
    resumed, predictor = fit_study(study, tmp_path / "stopped")
    assert in_this_process == names[3:]
    assert [r.nats_per_byte for r in resumed] == [r.nats_per_byte for r in whole]
    assert read_table((tmp_path / "stopped" / "runs.csv").read_text(), "runs.csv") == resumed
    assert Predictor.load(tmp_path / "stopped" / "predictor.json") == predictor
    assert predictor.evidence.num_runs == 9
    assert not list((tmp_path / "stopped").rglob("*.pt"))
    with pytest.raises(ValueError, match=r"another study \(learning_rate differ"):
        run_study(study.model_copy(update={"learning_rate": 1.0}), tmp_path / "stopped")


def test_a_begun_training_goes_on_from_its_save(study: StudyConfig, tmp_path: Path) -> None:
    from phonelm.data import DataConfig, prepare

    run = planned_runs(study)[0]
    prepare(DataConfig(source=study.corpus[0], vocab_size=320), tmp_path / "data")
    task = make_task(study, run, tmp_path, 1)
    straight = train_run(task)
    other = Task(
        run, task.config.model_copy(update={"save_every_steps": 1}), task.data_folder, tmp_path / "b"
    )

    def kill(*_: object) -> None:
        raise KeyboardInterrupt

    from phonelm.train.run import Run

    steps = Run._step
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Run, "_step", lambda self: kill() if self.counters.step == 11 else steps(self))
        with pytest.raises(KeyboardInterrupt):
            train_run(other)
    assert (tmp_path / "b" / "trainer_state.pt").exists()
    assert train_run(other).nats_per_byte == straight.nats_per_byte


def test_folders_and_corpora_that_do_not_fit_are_refused(study: StudyConfig, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match="holds no study"):
        run_study(study, tmp_path / "mine")
    (tmp_path / "empty").mkdir()
    empty = study.model_copy(update={"corpus": (str(tmp_path / "empty"),)})
    with pytest.raises(ValueError, match="no text files"):
        run_study(empty, tmp_path / "out")
    with pytest.raises(ValueError, match="at least 8 shapes"):
        fit_study(study.model_copy(update={"shapes": (4,)}), tmp_path / "few")
    assert not (tmp_path / "few").exists()
    missing = make_task(study, planned_runs(study)[0], tmp_path / "elsewhere", 1)
    with pytest.raises(ValueError, match="disk that all machines share"):
        train_run(missing)


def _tasks(study: StudyConfig, out: Path) -> list[Task]:
    from phonelm.data import DataConfig, prepare

    prepare(DataConfig(source=study.corpus[0], vocab_size=320), out / "data")
    return [make_task(study, run, out, 1) for run in planned_runs(study)[:3]]


@pytest.mark.slow
def test_what_goes_wrong_in_a_process_is_said_here(study: StudyConfig, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="disk that all machines share"):
        list(run_locally([make_task(study, planned_runs(study)[0], tmp_path, 1)], 2))


@pytest.mark.slow
def test_ray_finds_what_this_process_finds(study: StudyConfig, tmp_path: Path) -> None:
    ray = pytest.importorskip("ray")
    here = {record.name: record.nats_per_byte for record in map(train_run, _tasks(study, tmp_path / "here"))}
    ray.init(num_cpus=1, log_to_driver=False, configure_logging=False, include_dashboard=False)
    try:
        records = list(run_with_ray(_tasks(study, tmp_path / "there")))
        assert ray.is_initialized()
    finally:
        ray.shutdown()
    assert {record.name: record.nats_per_byte for record in records} == pytest.approx(here, rel=1e-4)


@pytest.mark.slow
def test_the_command_is_stopped_and_goes_on(corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "study"
    options = ["--params", "400k", "--shapes", "8", "--repeats", "0", "--tokens", "12k", "--vocab", "320"]
    main = "from phonelm.cli import main; main()"
    program = [sys.executable, "-c", main, "search", "fit-quality"]
    words = [*program, *options, "--corpus", str(corpus), "--out", str(out), "--workers", "1", "--json"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    first = subprocess.Popen(words, env=environment, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    while not list(out.glob("runs/*/run.json")):
        assert first.poll() is None
        time.sleep(0.05)
    first.send_signal(signal.SIGINT)
    assert first.wait(120) != 0
    done = len(list(out.glob("runs/*/run.json")))
    assert 1 <= done < 8
    again = subprocess.run(words, env=environment, capture_output=True, text=True, check=True)
    document = json.loads(again.stdout.splitlines()[-1])
    assert len(document["runs"]) == 8
    assert -1 <= document["evidence"]["rank_correlation"] <= 1
