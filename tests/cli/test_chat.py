from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from chat_models import write_with_template
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
    template = (
        "{% for m in messages %}{% if m.role == 'user' %}{{ m.content }}{% endif %}{% endfor %}"
        "{% if mode == 'none' %}{{ raise_exception('mode is none') }}{% endif %}"
    )
    return write_with_template(tiny_gguf, tmp_path / "chat.gguf", template)


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


def test_one_question_is_answered_without_a_conversation(
    phonelm: Phonelm, chatty_gguf: Path, tmp_path: Path
) -> None:
    arguments = ["chat", chatty_gguf, "-n", 4, "--temperature", 0, "--threads", 1]
    (tmp_path / "q.txt").write_text("/clear\nis no command here\n")
    with load(chatty_gguf, num_threads=1) as model:
        asked = [{"role": "user", "content": "/clear\nis no command here"}]
        answer = model.chat(asked, max_tokens=4, temperature=0)
    for words, text in (
        (["--prompt-file", tmp_path / "q.txt"], ""),
        (["-p", "/clear\nis no command here"], "never read"),
        (["-p", "-"], "/clear\nis no command here\n"),
    ):
        done = phonelm(*arguments, *words, text=text)
        assert (done.returncode, done.stdout, done.stderr) == (0, answer + "\n", "")
    document = json.loads(phonelm(*arguments, "-p", asked[0]["content"], "--json").stdout)
    (turn,) = document["turns"]
    assert (turn["question"], turn["text"]) == (asked[0]["content"], answer)
    assert turn["finish_reason"] in ("length", "stop")
    assert 0 < turn["completion_tokens"] <= 4
    assert turn["prompt_tokens"] > len(asked[0]["content"])


def test_piped_questions_as_one_document(phonelm: Phonelm, chatty_gguf: Path) -> None:
    arguments = ["chat", chatty_gguf, "-n", 2, "--temperature", 0, "--system", "s"]
    lines = f"one\n{'long ' * 40}\ntwo\n"
    plain, done = phonelm(*arguments, text=lines), phonelm(*arguments, "--json", text=lines)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["system"] == "s"
    first, refused, second = document["turns"]
    assert [first["text"], second["text"]] == plain.stdout.removesuffix("\n").split("\n")
    assert "context holds 96" in refused["error"]
    assert [first["question"], second["question"]] == ["one", "two"]


def test_a_single_question_that_fails_is_an_error(phonelm: Phonelm, chatty_gguf: Path) -> None:
    done = phonelm("chat", chatty_gguf, "-p", "x" * 200)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    twice = phonelm("chat", chatty_gguf, "-p", "x", "--prompt-file", "y")
    assert (twice.returncode, twice.stdout) == (2, "")


def test_an_answer_slides_over_a_full_context_on_request(phonelm: Phonelm, chatty_gguf: Path) -> None:
    arguments = ["chat", chatty_gguf, "-p", "hello", "-n", 120, "--temperature", 0, "--json"]
    (cut,) = json.loads(phonelm(*arguments).stdout)["turns"]
    (whole,) = json.loads(phonelm(*arguments, "--slide").stdout)["turns"]
    assert cut["finish_reason"] == "context"
    assert whole["finish_reason"] in ("length", "stop")
    assert whole["completion_tokens"] > cut["completion_tokens"]


def test_commands_of_a_piped_chat(phonelm: Phonelm, chatty_gguf: Path, tmp_path: Path) -> None:
    path = tmp_path / "talk.json"
    lines = ["/undo", "/retry", "one", "two", "/retry", "/undo", "/system be", "/set temperature -1",
             "/set temprature 1", "/set seed 4", "/tokens", f"/save {path}", "/clear extra", "/help",
             "/load /nowhere.json", "/system", "/bye", "never"]  # fmt: skip
    done = phonelm("chat", chatty_gguf, "-n", 2, "--temperature", 0, text="\n".join(lines))
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") >= 3
    document = json.loads(path.read_text())
    assert [message["role"] for message in document["messages"]] == ["system", "user", "assistant"]
    assert [message["content"] for message in document["messages"]][:2] == ["be", "one"]
    for said in ("there is no question yet", "temperature is -1", "did you mean temperature?",
                 "saved 1 turn", "/clear takes nothing after it", "/retry", "no such file", "\nbe\n",
                 "context of 96"):  # fmt: skip
        assert said in done.stderr
    again = phonelm("chat", chatty_gguf, "-n", 2, "--temperature", 0, text=f"/load {path}\n/undo\n/system\n")
    assert "loaded 1 turn" in again.stderr
    assert "0 turns left" in again.stderr
    assert again.stderr.endswith("be\n")
