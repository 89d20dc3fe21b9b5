"""Every number that an option of a verb takes works, or is refused with its range: none breaks the verb."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from phonelm.cli import VERBS, load_verb, make_app
from synthetic import synthetic_profile

USAGE_ERROR = typer.BadParameter.__mro__[1]
HUGE = ("2147483648", "-2147483649", "9223372036854775808", "1180591620717411303424", "-" + "9" * 30)
FLOATS = ("1e39", "-1e39", "1e400", "nan", "1e-60")


def commands() -> Iterator[tuple[str, Any]]:
    for verb in VERBS:
        command = load_verb(verb)
        yield verb, command
        for name, child in getattr(command, "commands", {}).items():
            yield f"{verb} {name}", child


def numbers() -> list[tuple[str, str, str]]:
    """Verb, option and value: each option of a number with each extreme."""
    found = []
    for verb, command in commands():
        for option in command.params:
            kind = option.type.name.split()[0]
            values = HUGE if kind == "integer" else FLOATS if kind == "float" else ()
            found += [(verb, option.opts[0], value) for value in values]
    return found


@pytest.fixture
def words(tiny_gguf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """What each verb needs to get to its numbers, and no further than a missing folder where that is long."""
    monkeypatch.chdir(tmp_path)
    synthetic_profile().save("device.json")
    Path("text").mkdir()
    Path("text/a.txt").write_text("one two three\n" * 50)
    return {
        "bench": [str(tiny_gguf), "--device", "adb:none"],
        "chat": [str(tiny_gguf)],
        "data": ["--out", "data", "--source", "text"],
        "generate": [str(tiny_gguf), "-p", "x" * 95],
        "profile": ["--device", "adb:none"],
        "search": ["--params", "2M", "--vocab", "1024", "--device", "device.json", "--keep", "head_dim=32"],
        "search fit-quality": ["--out", "study", "--corpus", "nowhere"],
        "train": ["nowhere", "--shape", "nowhere.json", "--out", "trained", "--steps", "10"],
    }


def test_the_verbs_take_numbers() -> None:
    verbs = {verb for verb, _, _ in numbers()}
    assert {"bench", "chat", "data", "generate", "profile", "search", "search fit-quality", "train"} == verbs


@pytest.mark.parametrize(("verb", "option", "value"), numbers())
def test_a_number_of_any_size_is_no_internal_error(
    words: dict[str, list[str]], capsys: pytest.CaptureFixture[str], verb: str, option: str, value: str
) -> None:
    with contextlib.suppress(USAGE_ERROR):
        make_app()([*verb.split(), *words[verb], f"{option}={value}"], standalone_mode=False)
    shown = capsys.readouterr().err
    assert "internal error" not in shown
    assert "Traceback" not in shown
