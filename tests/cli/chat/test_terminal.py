"""`phonelm chat` on a pseudo-terminal, as someone types at it."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import select
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
PASTE_ON = "\x1b[?2004h"


class Terminal:
    """A command on a terminal: its keyboard and its screen."""

    def __init__(self, command: list[str], environment: dict[str, str]) -> None:
        self._leader, follower = pty.openpty()
        self.process = subprocess.Popen(
            command,
            env=environment,
            stdin=follower,
            stdout=follower,
            stderr=follower,
            start_new_session=True,
            # Ctrl-C is a signal only of the terminal that controls a process.
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        os.close(follower)
        self._seen = ""

    def type(self, text: str) -> None:
        os.write(self._leader, text.encode())

    def paste(self, text: str) -> None:
        self.type(f"\x1b[200~{text}\x1b[201~")

    def wait_for(self, text: str) -> str:
        """Return what was shown up to a text."""
        deadline = time.monotonic() + 60
        while text not in self._seen:
            left = deadline - time.monotonic()
            assert select.select([self._leader], [], [], max(0, left))[0], self._seen
            try:
                self._seen += os.read(self._leader, 4096).decode("utf-8", "replace")
            except OSError:  # the command has ended
                pytest.fail(f"no {text!r} in {self._seen!r}")
        before, _, self._seen = self._seen.partition(text)
        return before

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self._leader)


Start = Callable[..., Terminal]


@pytest.fixture
def start(command: list[str], environment: dict[str, str]) -> Iterator[Start]:
    with ExitStack() as stack:

        def start(*arguments: object, **changes: str) -> Terminal:
            changed = {**environment, "TERM": "xterm", "INPUTRC": os.devnull, **changes}
            terminal = Terminal([*command, "chat", *map(str, arguments)], changed)
            stack.callback(terminal.close)
            return terminal

        yield start


def saved(path: Path) -> list[str]:
    return [message["content"] for message in json.loads(path.read_text())["messages"]]


def test_a_pasted_text_is_one_question(start: Start, chatty_gguf: Path, tmp_path: Path) -> None:
    pytest.importorskip("readline")
    terminal = start(chatty_gguf, "-n", 1, "--temperature", 0)
    terminal.wait_for(PASTE_ON)
    terminal.paste("one\rtwo\r/three\rfour")
    terminal.type(" five\r")
    terminal.wait_for(PASTE_ON)
    terminal.type(f"/save {tmp_path / 'talk.json'}\r")
    terminal.wait_for("saved 1 turn")
    terminal.wait_for(PASTE_ON)
    terminal.type("\x04")
    assert terminal.process.wait(timeout=20) == 0
    assert saved(tmp_path / "talk.json")[0] == "one\ntwo\n/three\nfour five"


def test_lines_that_go_on_and_earlier_questions(start: Start, chatty_gguf: Path, tmp_path: Path) -> None:
    pytest.importorskip("readline")
    for typed, expected in (
        ("a\\\rb\r", "a\nb"),
        ('"""x\r /y\r"""\r', "x\n /y"),
        (3 * "\x1b[A" + "\r", "x\n /y"),
    ):
        path = tmp_path / "talk.json"
        path.unlink(missing_ok=True)
        terminal = start(chatty_gguf, "-n", 1, "--temperature", 0)
        terminal.wait_for(PASTE_ON)
        terminal.type(typed)
        # One prompt for each further line, and one after the answer.
        for _ in range(typed.count("\r")):
            terminal.wait_for(PASTE_ON)
        terminal.type(f"/save {path}\r")
        terminal.wait_for("saved 1 turn")
        terminal.type("/bye\r")
        assert terminal.process.wait(timeout=20) == 0
        assert saved(path)[0] == expected


def test_ctrl_c_drops_what_was_typed(start: Start, chatty_gguf: Path, tmp_path: Path) -> None:
    terminal = start(chatty_gguf, "-n", 1, "--temperature", 0)
    terminal.wait_for(PASTE_ON)
    terminal.type('"""unfinished\r')
    terminal.wait_for(". ")
    # Between showing the prompt and waiting for keys, Python sees a signal at the next key only.
    time.sleep(0.5)
    terminal.type("\x03")
    terminal.wait_for("/help lists")
    terminal.wait_for(PASTE_ON)
    terminal.type("/tokens\r")
    terminal.wait_for("0 tokens of a context of 96")
    terminal.wait_for(PASTE_ON)
    terminal.type("\x04")
    assert terminal.process.wait(timeout=20) == 0


def test_a_history_that_cannot_be_written_is_no_error(start: Start, chatty_gguf: Path) -> None:
    terminal = start(chatty_gguf, "-n", 1, PHONELM_CACHE="/dev/null/cache")
    terminal.wait_for("> ")
    terminal.type("hi\r")
    terminal.wait_for("hi\r\n")
    terminal.wait_for("> ")
    terminal.type("/exit\r")
    assert terminal.process.wait(timeout=20) == 0


def test_json_is_for_single_and_piped_questions(start: Start, chatty_gguf: Path) -> None:
    terminal = start(chatty_gguf, "--json")
    terminal.wait_for("--json is for --prompt")
    assert terminal.process.wait(timeout=20) == 2


def test_ctrl_c_stops_the_answer_and_not_the_chat(start: Start, smollm2_gguf: Path, tmp_path: Path) -> None:
    terminal = start(smollm2_gguf, "--temperature", "0")
    terminal.wait_for("> ")
    terminal.type("Write a long story about a dragon and a lighthouse.\r")
    terminal.wait_for("lighthouse.\r\n")
    terminal.wait_for(" ")
    terminal.type("\x03")
    terminal.wait_for("stopped")
    terminal.wait_for("> ")
    terminal.type(f"/save {tmp_path / 'talk.json'}\r")
    terminal.wait_for("saved 1 turn")
    terminal.type("/exit\r")
    assert terminal.process.wait(timeout=20) == 0
    question, answer = saved(tmp_path / "talk.json")
    assert "dragon" in question
    assert answer
