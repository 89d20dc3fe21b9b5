from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import gguf
import pytest

from phonelm.engine import load

Phonelm = Callable[..., subprocess.CompletedProcess[str]]


def test_a_model_without_template_is_refused_before_the_first_question(
    phonelm: Phonelm, tiny_gguf: Path
) -> None:
    done = phonelm("chat", tiny_gguf, text="hi\n")
    assert done.returncode == 1
    assert "no chat template" in done.stderr


@pytest.fixture
def with_template(tiny_gguf: Path, tmp_path: Path) -> Path:
    """The tiny model with a template that knows users only, and a variable."""
    reader = gguf.GGUFReader(tiny_gguf)
    writer = gguf.GGUFWriter(tmp_path / "chat.gguf", "unused")
    for name, field in reader.fields.items():
        value = field.contents()
        # Empty lists are left out: the package cannot write them.
        if name != "general.architecture" and not name.startswith("GGUF.") and value != []:
            element = field.types[-1] if len(field.types) > 1 else None
            writer.add_key_value(name, value, field.types[0], element)
    writer.kv_data[0]["general.architecture"].value = reader.fields["general.architecture"].contents()
    writer.add_chat_template(
        "{% for m in messages %}{% if m.role == 'user' %}{{ m.content }}{% endif %}{% endfor %}"
        "{% if mode == 'none' %}{{ raise_exception('mode is none') }}{% endif %}"
    )
    for tensor in reader.tensors:
        writer.add_tensor(tensor.name, tensor.data, raw_dtype=tensor.tensor_type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return tmp_path / "chat.gguf"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--chat-template-kwargs", '{"mode": "none"}'), "mode is none"),
        (("--chat-template-kwargs", '{"mood": 1}'), "no variable mood; it has: mode"),
        (("--chat-template-kwargs", "{"), "not valid JSON"),
        (("--chat-template-kwargs", "[1]"), "not a JSON object"),
        (("--system", "Be brief."), "does not show message 0 (role 'system')"),
    ],
)
def test_what_the_template_cannot_take_is_refused_before_the_first_question(
    phonelm: Phonelm, with_template: Path, options: tuple[str, ...], message: str
) -> None:
    done = phonelm("chat", with_template, *options, text="hi\n")
    assert done.returncode == 1
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


def test_variables_reach_the_template(phonelm: Phonelm, with_template: Path) -> None:
    given = '{"mode": "some"}'
    done = phonelm("chat", with_template, "-n", 2, "--chat-template-kwargs", given, text="hi\n")
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_piped_lines_are_answered_in_turn(phonelm: Phonelm, smollm2_gguf: Path) -> None:
    question = "Name three colours."
    lines = f"{question}\n/frob\n/clear\n{question}\n/exit\nnever asked\n"
    done = phonelm("chat", smollm2_gguf, "--temperature", 0, "-n", 16, text=lines)
    assert done.returncode == 0, done.stderr
    with load(smollm2_gguf) as model:
        answer = model.chat([{"role": "user", "content": question}], max_tokens=16)
    assert done.stdout == f"{answer}\n" * 2
    assert "unknown command /frob" in done.stderr
    assert "forgotten" in done.stderr


@pytest.mark.slow
def test_the_oldest_turns_leave_a_full_context(phonelm: Phonelm, smollm2_gguf: Path) -> None:
    lines = "".join(f"Tell me about the number {number}.\n" for number in range(4))
    done = phonelm("chat", smollm2_gguf, "--context", 128, "--temperature", 0, "-n", 24, text=lines)
    assert done.returncode == 0, done.stderr
    assert "forgot the oldest" in done.stderr


def test_a_question_beyond_the_context_does_not_end_the_chat(phonelm: Phonelm, smollm2_gguf: Path) -> None:
    lines = f"{'word ' * 200}\nSay yes.\n"
    done = phonelm("chat", smollm2_gguf, "--context", 128, "--temperature", 0, "-n", 8, text=lines)
    assert done.returncode == 0
    assert "the context holds 128" in done.stderr
    assert len(done.stdout.strip()) > 0


def test_stop_texts_and_speed(phonelm: Phonelm, smollm2_gguf: Path) -> None:
    arguments = ["chat", smollm2_gguf, "--temperature", 0, "-n", 24, "-v"]
    whole = phonelm(*arguments, text="Name three colours.\n")
    assert "tokens/s" in whole.stderr
    stop = whole.stdout[4:8]
    cut = phonelm(*arguments, "--stop", stop, text="Name three colours.\n")
    assert cut.stdout == whole.stdout[: whole.stdout.index(stop)] + "\n"


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_ctrl_c_stops_the_answer_and_not_the_chat(
    command: list[str], environment: dict[str, str], smollm2_gguf: Path
) -> None:
    leader, follower = pty.openpty()
    arguments = ["chat", str(smollm2_gguf), "--temperature", "0"]
    process = subprocess.Popen(
        [*command, *arguments], env=environment, stdin=follower, stdout=follower, stderr=follower
    )
    os.close(follower)
    screen = _Screen(leader)
    screen.wait_for("> ")
    os.write(leader, b"Write a long story about a dragon and a lighthouse.\n")
    screen.wait_for("lighthouse.\r\n")
    screen.wait_for(" ")
    process.send_signal(signal.SIGINT)
    screen.wait_for("stopped")
    os.write(leader, b"/exit\n")
    assert process.wait(timeout=20) == 0
    os.close(leader)


class _Screen:
    """What a terminal shows."""

    def __init__(self, leader: int) -> None:
        self._leader = leader
        self._seen = ""

    def wait_for(self, text: str) -> None:
        deadline = time.monotonic() + 60
        while text not in self._seen:
            left = deadline - time.monotonic()
            assert select.select([self._leader], [], [], max(0, left))[0], self._seen
            self._seen += os.read(self._leader, 4096).decode("utf-8", "replace")
        self._seen = self._seen.partition(text)[2]
