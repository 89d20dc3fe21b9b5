from __future__ import annotations

import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.core import TyperCommand

from phonelm import __version__
from phonelm.cli import VERBS, load_verb

Phonelm = Callable[..., subprocess.CompletedProcess[str]]


def test_help_lists_the_verbs_and_imports_nothing_heavy(phonelm: Phonelm, command: list[str]) -> None:
    done = phonelm("--help")
    assert done.returncode == 0
    assert all(f"  {verb} " in done.stdout for verb in VERBS)
    code = (
        "import sys; from phonelm.cli import main; sys.argv[1:] = ['--help']\n"
        "try: main()\n"
        "finally: assert not {'numpy', 'pydantic', 'phonelm.cli.build'} & set(sys.modules), sys.modules"
    )
    assert subprocess.run([*command[:2], code], check=False).returncode == 0


@pytest.mark.parametrize("verb", VERBS)
def test_the_short_help_is_that_of_the_verb(verb: str) -> None:
    wide = 200
    listed = TyperCommand(verb, help=VERBS[verb])
    assert listed.get_short_help_str(wide) == load_verb(verb).get_short_help_str(wide)


def test_no_verb_imports_anything_heavy_before_it_runs(command: list[str]) -> None:
    code = (
        "import sys; from phonelm.cli import VERBS, load_verb; [load_verb(verb) for verb in VERBS]; "
        "assert not {'numpy', 'torch', 'pydantic'} & set(sys.modules), sys.modules.keys()"
    )
    assert subprocess.run([*command[:2], code], check=False).returncode == 0


@pytest.mark.parametrize("verb", VERBS)
def test_each_verb_shows_an_example(phonelm: Phonelm, verb: str) -> None:
    done = phonelm(verb, "--help")
    assert done.returncode == 0
    assert f"phonelm {verb}" in done.stdout.split("Example", 1)[1]


def test_version(phonelm: Phonelm) -> None:
    assert phonelm("--version").stdout == f"phonelm {__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["frob"], "No such command 'frob'"),
        (["generat"], "Did you mean 'generate'?"),
        (["quantize", "folder"], "Missing option '--out'"),
        (["models", "--frob"], "--frob"),
        (["generate", "model.gguf", "-p", "hi", "-n", "many"], "--max-tokens"),
    ],
)
def test_wrong_usage_is_one_line_and_code_2(phonelm: Phonelm, arguments: list[str], message: str) -> None:
    done = phonelm(*arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["generate", "nowhere.gguf", "-p", "hi"], "no model at nowhere.gguf"),
        (["chat", "smollm2-135m-instruct"], "phonelm pull smollm2-135m-instruct"),
        (["bench", "/"], "neither model.gguf"),
        (["pull", "gpt-5"], "known are: gemma-3-270m, smollm2-135m-instruct"),
    ],
)
def test_failure_is_one_line_and_code_1(phonelm: Phonelm, arguments: list[str], message: str) -> None:
    done = phonelm(*arguments)
    assert done.returncode == 1
    assert message in done.stderr
    assert done.stderr.startswith("phonelm: ")
    assert done.stderr.count("\n") == 1


def test_a_reader_that_leaves_is_no_error(
    command: list[str], environment: dict[str, str], tiny_gguf: Path
) -> None:
    arguments = ["generate", str(tiny_gguf), "-p", "hi", "-n", "60", "--temperature", "0"]
    with subprocess.Popen(
        [*command, *arguments], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        assert process.stderr.read() == b""


def test_a_stopped_pull_leaves_nothing_behind(
    command: list[str], environment: dict[str, str], tmp_path: Path
) -> None:
    # A hub that accepts the connection and never answers.
    with socket.create_server(("127.0.0.1", 0)) as silent:
        environment["HF_ENDPOINT"] = f"http://127.0.0.1:{silent.getsockname()[1]}"
        process = subprocess.Popen(
            [*command, "pull", "smollm2-135m-instruct"], env=environment, stderr=subprocess.PIPE, text=True
        )
        assert process.stderr is not None
        assert "asking the hub" in process.stderr.readline()
        time.sleep(0.2)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=10) == 1
        process.stderr.close()
    assert [path for path in (tmp_path / "cache").rglob("*") if path.is_file()] == []


def test_the_package_shows_what_it_has() -> None:
    import phonelm

    assert {"Grammar", "Model", "load", "__version__"} <= set(dir(phonelm))
    assert all(getattr(phonelm, name) for name in phonelm.__all__)
