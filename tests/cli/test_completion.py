"""Completion as shells ask for it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from phonelm.cli import VERBS
from phonelm.cli.completion import with_shell
from phonelm.engine import store

Phonelm = Callable[..., subprocess.CompletedProcess[str]]
Complete = Callable[[str], list[str]]


@pytest.fixture(params=["bash", "zsh", "fish"])
def complete(request: pytest.FixtureRequest, command: list[str], environment: dict[str, str]) -> Complete:
    """Ask as the shell's script does; the values without help and quotes."""
    shell: str = request.param

    def ask(line: str) -> list[str]:
        words = line.split(" ")
        asked = {
            "bash": {"COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)},
            "zsh": {"_TYPER_COMPLETE_ARGS": line},
            "fish": {"_TYPER_COMPLETE_ARGS": line, "_TYPER_COMPLETE_FISH_ACTION": "get-args"},
        }[shell]
        changed = {**environment, **asked, "_PHONELM_COMPLETE": f"complete_{shell}"}
        done = subprocess.run(command, env=changed, capture_output=True, text=True, timeout=60)
        assert done.stderr == ""
        lines = done.stdout.removeprefix("_arguments '*: :((").strip().removesuffix("))'").splitlines()
        return [one.split('"')[1] if one.startswith('"') else one.split("\t")[0] for one in lines]

    return ask


def test_verbs_options_and_models_are_completed(complete: Complete) -> None:
    assert complete("phonelm ") == list(VERBS)
    assert complete("phonelm ge") == ["generate"]
    assert "--dry-multiplier" in complete("phonelm chat --d")
    assert complete("phonelm chat sm") == ["smollm2-135m-instruct"]
    assert complete("phonelm generate ") == list(store.KNOWN)
    assert complete("phonelm bench gem") == ["gemma-3-270m"]
    assert "--show-completion" in complete("phonelm --")


def test_completing_verbs_imports_none(command: list[str], environment: dict[str, str]) -> None:
    code = (
        "import sys; from phonelm.cli import main\n"
        "try: main()\n"
        "finally: print({'numpy', 'phonelm.cli.build'} & set(sys.modules), file=sys.stderr)"
    )
    asked = {"COMP_WORDS": "phonelm ", "COMP_CWORD": "1", "_PHONELM_COMPLETE": "complete_bash"}
    done = subprocess.run(
        [*command[:2], code], env={**environment, **asked}, capture_output=True, text=True, timeout=60
    )
    assert done.stderr == "set()\n"
    assert done.stdout.split() == list(VERBS)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish", "powershell"])
def test_the_script_of_each_shell_is_shown(phonelm: Phonelm, shell: str) -> None:
    done = phonelm("--show-completion", shell)
    assert done.returncode == 0, done.stderr
    assert "_PHONELM_COMPLETE" in done.stdout
    if shutil.which(shell) and shell != "powershell":
        assert subprocess.run([shell, "-n"], input=done.stdout, text=True).returncode == 0


def test_bash_completes_with_the_script(
    phonelm: Phonelm, environment: dict[str, str], tmp_path: Path
) -> None:
    program = tmp_path / "phonelm"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m phonelm "$@"\n')
    program.chmod(0o755)
    script = phonelm("--show-completion", "bash").stdout
    function = script.split("(", 1)[0].strip()
    asks = f'COMP_WORDS=(phonelm chat smol); COMP_CWORD=2; {function} phonelm; echo "${{COMPREPLY[@]}}"'
    path = f"{tmp_path}{os.pathsep}{environment['PATH']}"
    done = subprocess.run(
        ["bash", "-c", f"{script}\n{asks}"],
        env={**environment, "PATH": path}, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.stdout == "smollm2-135m-instruct\n", done.stderr


@pytest.mark.parametrize(
    ("shell", "place"),
    [("bash", ".bashrc"), ("zsh", ".zshrc"), ("fish", ".config/fish/completions/phonelm.fish")],
)
def test_it_is_installed(
    command: list[str], environment: dict[str, str], tmp_path: Path, shell: str, place: str
) -> None:
    done = subprocess.run(
        [*command, "--install-completion", shell],
        env={**environment, "HOME": str(tmp_path)}, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert str(tmp_path) in done.stdout
    assert (tmp_path / place).is_file()


def test_an_unknown_shell_is_wrong_usage(phonelm: Phonelm) -> None:
    for option in ("--show-completion", "--install-completion"):
        done = phonelm(option, "cmd")
        assert (done.returncode, done.stdout) == (2, "")
        assert "not one of: bash, zsh, fish" in done.stderr


def test_without_a_name_the_shell_is_the_user_s(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "shellingham", None)
    monkeypatch.setenv("SHELL", "/usr/bin/fish")
    assert with_shell(["--show-completion"]) == ["--show-completion", "fish"]
    assert with_shell(["--show-completion", "zsh"]) == ["--show-completion", "zsh"]
    assert with_shell(["chat", "--show-completion"]) == ["chat", "--show-completion"]
    monkeypatch.delenv("SHELL")
    assert with_shell(["--install-completion"]) == ["--install-completion", "unknown"]
