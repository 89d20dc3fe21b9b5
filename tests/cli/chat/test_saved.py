from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from phonelm.cli.chat import saved
from phonelm.cli.chat.conversation import Conversation, Turn
from phonelm.engine import load


@pytest.fixture(scope="module")
def conversation(chatty_gguf: Path) -> Iterator[Conversation]:
    with load(chatty_gguf, num_threads=1) as model:
        yield Conversation(model, None, {})


def test_what_is_saved_is_read(conversation: Conversation, tmp_path: Path) -> None:
    for system, turns in ((None, []), ("be ü", [Turn("a\nb", "c"), Turn("d", "")])):
        conversation.replace(system, turns)
        saved.save(tmp_path / "talk.json", conversation)
        assert saved.read(tmp_path / "talk.json") == (system, turns)
    assert [path.name for path in tmp_path.iterdir()] == ["talk.json"]


def message(role: str, content: object = "x") -> dict[str, object]:
    return {"role": role, "content": content}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "not valid JSON"),
        ('{"messages": [', "not valid JSON"),
        ("[" * 100_000, "not valid JSON"),
        ("[]", "no list of messages"),
        ('{"messages": 1}', "no list of messages"),
        ('{"messages": [1]}', "more, or less"),
        (json.dumps({"messages": [message("user")]}), "in turn"),
        (json.dumps({"messages": [message("assistant"), message("user")]}), "in turn"),
        (json.dumps({"messages": [message("user"), message("system")]}), "in turn"),
        (json.dumps({"messages": [message("user", [1]), message("assistant")]}), "no text"),
        (json.dumps({"messages": [{**message("user"), "tool_calls": []}]}), "more, or less"),
    ],
)
def test_what_is_no_conversation_is_one_line(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "foreign.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=problem) as raised:
        saved.read(path)
    assert str(path) in str(raised.value)
