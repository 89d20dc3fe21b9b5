"""Every number that an option of a verb takes works, or is refused with its range: none breaks the verb."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import get_args, get_type_hints

import pytest
import typer

from phonelm.cli import VERBS, make_app, python_name
from phonelm.cli.fit_quality import fit_quality
from phonelm.cli.search.design import search
from synthetic import synthetic_profile

USAGE_ERROR = typer.BadParameter.__mro__[1]
HUGE = ("2147483648", "1180591620717411303424", "-9223372036854775809")
FLOATS = ("1e39", "nan", "1e-60")


def functions() -> Iterator[tuple[str, Callable[..., None]]]:
    for verb in VERBS:
        if verb != "search":
            name = python_name(verb)
            yield verb, getattr(importlib.import_module(f"phonelm.cli.{name}"), name)
    yield from (("search", search), ("search fit-quality", fit_quality))


def numbers() -> list[tuple[str, str, str]]:
    """Verb, option and value: each option of a number with each extreme."""
    found = []
    for verb, function in functions():
        for name, hint in get_type_hints(function).items():
            kinds = {hint, *get_args(hint), *(kind for part in get_args(hint) for kind in get_args(part))}
            values = HUGE if int in kinds else FLOATS if float in kinds else ()
            found += [(verb, f"--{name.strip('_').replace('_', '-')}", value) for value in values]
    return found


@pytest.fixture
def words(tiny_gguf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """What each verb needs to get to its numbers, and no further than a missing folder where that is long."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PHONELM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("phonelm.evaluate.sets.fetch_sets", lambda _progress: None)
    synthetic_profile().save("device.json")
    Path("text").mkdir()
    Path("text/a.txt").write_text("one two three\n" * 50)
    return {
        "bench": [str(tiny_gguf), "--device", "adb:none"],
        "chat": [str(tiny_gguf)],
        "compare": [str(tiny_gguf), str(tiny_gguf), "--text", "text/a.txt", "--no-speed"],
        "data": ["--out", "data", "--source", "text"],
        "evaluate": [str(tiny_gguf), "--tasks", "piqa"],
        "generate": [str(tiny_gguf), "-p", "x" * 95],
        "perplexity": [str(tiny_gguf), "--text", "text/a.txt"],
        "profile": ["--device", "adb:none"],
        "quantize": [str(tiny_gguf), "-o", "out.gguf", "--importance", "text/a.txt"],
        "search": [
            "--params",
            "2M",
            "--vocab",
            "1024",
            "--device",
            "device.json",
            "--keep",
            "head_dim=32",
            "--keep",
            "ffn=gated relu",
            "--keep",
            "tied=true",
        ],
        "search fit-quality": ["--out", "study", "--corpus", "nowhere"],
        "train": ["nowhere", "--shape", "nowhere.json", "--out", "trained", "--steps", "10"],
        "tune": ["instruct", "--base", "nowhere", "--data", "text/a.txt", "--out", "tuned"],
    }


def test_the_verbs_take_numbers() -> None:
    verbs = {verb for verb, _, _ in numbers()}
    assert {"bench", "chat", "compare", "data", "evaluate", "generate", "perplexity", "profile"} <= verbs
    assert {"quantize", "search", "search fit-quality", "train", "tune"} <= verbs


@pytest.mark.parametrize(("verb", "option", "value"), numbers())
def test_a_number_of_any_size_is_no_internal_error(
    words: dict[str, list[str]], capsys: pytest.CaptureFixture[str], verb: str, option: str, value: str
) -> None:
    with contextlib.suppress(USAGE_ERROR):
        make_app()([*verb.split(), *words[verb], f"{option}={value}"], standalone_mode=False)
    shown = capsys.readouterr().err
    assert "internal error" not in shown
    assert "Traceback" not in shown
