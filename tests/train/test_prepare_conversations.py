"""Conversations are rendered with what is learnt marked, and written once each."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from phonelm.data import DataManifest
from phonelm.data.config import ConversationsConfig
from phonelm.data.conversations import conversation_of
from phonelm.data.split import is_held_out
from phonelm.data.tokenizer import save_tokenizer, train_tokenizer
from phonelm.train.prepare_conversations import prepare_conversations
from phonelm.train.rendering import ConversationRenderer

USER = {"role": "user", "content": "hi"}
ANSWER = {"role": "assistant", "content": "hello there"}


def _write(path: Path, rows: list[Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a ChatML tokenizer."""
    folder = tmp_path_factory.mktemp("base")
    save_tokenizer(train_tokenizer(["hello there, hi and good day " * 20], 300), folder)
    return folder


def test_what_the_assistant_writes_is_learnt(base: Path) -> None:
    renderer = ConversationRenderer(base)
    conversation = conversation_of({"messages": [USER, ANSWER, USER, ANSWER]}, "line 1")
    parts = renderer.parts(conversation)
    assert [part.text for part in parts if part.weight] == ["hello there<|im_end|>"] * 2
    # The template's line end behind an answer belongs to the next prompt; behind the last one there is none.
    whole = renderer._tokenizer.apply_chat_template(list(conversation.messages), tokenize=False)
    assert "".join(part.text for part in parts) + "\n" == whole
    ((ids, weights),) = renderer.encode([parts])
    learnt = [token for token, weight in zip(ids, weights, strict=True) if weight]
    assert renderer._tokenizer.decode(learnt) == "hello there<|im_end|>" * 2


def test_calls_may_weigh_more(base: Path) -> None:
    call = {**ANSWER, "tool_calls": [{"function": {"name": "f", "arguments": {}}}]}
    conversation = conversation_of({"messages": [USER, call, {"role": "tool", "content": "1"}, ANSWER]}, "")
    assert [part.weight for part in ConversationRenderer(base, 3.0).parts(conversation)] == [0, 3, 0, 1]


def test_a_template_that_rewrites_turns_is_refused(base: Path, tmp_path: Path) -> None:
    for path in base.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    config = json.loads((base / "tokenizer_config.json").read_text())
    config["chat_template"] = "{{ messages | length }}{{ messages[-1]['content'] }}"
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    conversation = conversation_of({"messages": [USER, ANSWER]}, "")
    with pytest.raises(ValueError, match="another template"):
        ConversationRenderer(tmp_path).parts(conversation)


def _chats(count: int) -> list[Any]:
    return [
        {
            "messages": [
                {"role": "user", "content": f"hi {n}"},
                {"role": "assistant", "content": f"good day {n}"},
            ]
        }
        for n in range(count)
    ]


def test_preparing_leaves_out_what_cannot_be_learnt(base: Path, tmp_path: Path) -> None:
    rows = _chats(40)
    forged = {"messages": [{"role": "user", "content": "<|im_end|>"}, ANSWER]}
    path = _write(tmp_path / "chats.jsonl", [*rows, rows[0], forged])
    config = ConversationsConfig(sources=(str(path),), valid_fraction=0.2)
    manifest = prepare_conversations(config, base, tmp_path / "data")
    assert manifest.train.documents + manifest.valid.documents == 40
    assert manifest.valid.documents > 1
    assert manifest.duplicates == 1
    assert prepare_conversations(config, base, tmp_path / "data") == DataManifest.load(tmp_path / "data")
    rows_read = manifest.rows(tmp_path / "data", "train", 64)
    batch = rows_read.batch(np.arange(len(rows_read)))
    assert batch.weights is not None
    assert int((batch.weights > 0).sum()) == manifest.train.learnt_tokens
    assert manifest.train.bytes == sum(
        len(row["messages"][1]["content"] + "<|im_end|>") for row in _of_split(rows, config)
    )


def _of_split(rows: list[Any], config: ConversationsConfig) -> list[Any]:
    kept = []
    for number, row in enumerate(rows):
        document = json.dumps([row["messages"], []], sort_keys=True)
        digest = hashlib.blake2b(document.encode(), digest_size=16).digest()
        held_out = is_held_out(digest, config.valid_fraction, config.seed) if number > 1 else number == 1
        kept += [] if held_out else [row]
    return kept


def test_a_cut_file_and_a_single_conversation_are_refused(base: Path, tmp_path: Path) -> None:
    path = _write(tmp_path / "one.jsonl", _chats(1))
    with pytest.raises(ValueError, match="at least two are needed"):
        prepare_conversations(ConversationsConfig(sources=(str(path),)), base, tmp_path / "one")
    path = _write(tmp_path / "some.jsonl", _chats(9))
    manifest = prepare_conversations(ConversationsConfig(sources=(str(path),)), base, tmp_path / "data")
    weights = tmp_path / "data" / "train-weights.bin"
    weights.write_bytes(weights.read_bytes()[:-2])
    with pytest.raises(ValueError, match="missing or cut off"):
        manifest.rows(tmp_path / "data", "train", 64)
