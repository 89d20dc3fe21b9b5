from __future__ import annotations

import errno
import os

import pytest
import typer
from pydantic import BaseModel, ConfigDict

from phonelm.cli.errors import explain, guarded, warning_text


class Recipe(BaseModel):
    model_config = ConfigDict(extra="forbid")
    steps: int = 1


def _validation_error() -> Exception:
    try:
        Recipe.model_validate({"stepz": 3, "steps": "many"})
    except ValueError as error:
        return error
    raise AssertionError


@pytest.mark.parametrize(
    ("error", "parts"),
    [
        (ValueError("the corpus is empty;\n  give files"), ["the corpus is empty; give files"]),
        (
            FileNotFoundError(errno.ENOENT, "No such file", "a.gguf"),
            ["no such file", "a.gguf", "check the path"],
        ),
        (FileNotFoundError("no model at x; pull it"), ["no model at x; pull it"]),
        (PermissionError(errno.EACCES, "Permission denied", "/runs"), ["no permission: /runs", "choose"]),
        (OSError(errno.ENOSPC, "No space left on device"), ["the disk is full", "free some space"]),
        (OSError(errno.EROFS, "Read-only file system", "/x"), ["no permission: /x"]),
        (MemoryError(), ["out of memory", "smaller"]),
        (ModuleNotFoundError("No module named 'torch'", name="torch"), ['pip install "phonelm[train]"']),
        (
            ModuleNotFoundError("No module named 'datasets'", name="datasets"),
            ['pip install "phonelm[train]"'],
        ),
        (
            ImportError("cannot import name '_native' from 'phonelm'", name="phonelm"),
            ["native core", "pip install"],
        ),
        (_validation_error(), ["Recipe", "stepz", "steps", "integer"]),
        (KeyError("oops"), ["internal error", "oops", "PHONELM_DEBUG=1"]),
    ],
)
def test_each_failure_is_one_line_that_says_what_to_do(error: Exception, parts: list[str]) -> None:
    line = explain(error)
    assert "\n" not in line
    for part in parts:
        assert part in line


def test_a_verb_that_fails_ends_with_1(capsys: pytest.CaptureFixture[str]) -> None:
    @guarded
    def verb() -> None:
        raise ValueError("wrong; do it right")

    with pytest.raises(typer.Exit) as caught:
        verb()
    assert caught.value.exit_code == 1
    assert capsys.readouterr().err == "phonelm: wrong; do it right\n"


def test_debugging_shows_the_traceback(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(os.environ, "PHONELM_DEBUG", "1")

    @guarded
    def verb() -> None:
        raise ValueError("wrong")

    with pytest.raises(typer.Exit):
        verb()
    shown = capsys.readouterr().err
    assert "Traceback" in shown
    assert shown.endswith("phonelm: wrong\n")


def test_an_interrupt_ends_with_1_and_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    @guarded
    def verb() -> None:
        raise KeyboardInterrupt

    with pytest.raises(typer.Exit) as caught:
        verb()
    assert caught.value.exit_code == 1
    assert capsys.readouterr().err == "phonelm: interrupted\n"


def test_only_a_verb_that_resumes_promises_it(capsys: pytest.CaptureFixture[str]) -> None:
    @guarded
    def train() -> None:
        raise KeyboardInterrupt

    with pytest.raises(typer.Exit):
        train()
    assert capsys.readouterr().err == "phonelm: interrupted; the same command resumes\n"


def test_warnings_of_others_are_as_python_prints_them() -> None:
    text = warning_text("old", DeprecationWarning, "a.py", 7, "call()")
    assert text == "a.py:7: DeprecationWarning: old\n  call()\n"
