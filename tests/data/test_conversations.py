"""Conversations are checked, rendered with what is learnt marked, and packed whole."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from phonelm.data.batches import PackedRows
from phonelm.data.conversations import conversation_of, conversations
from phonelm.data.packing import pack

USER = {"role": "user", "content": "hi"}
ANSWER = {"role": "assistant", "content": "hello there"}


def _write(path: Path, rows: list[Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.mark.parametrize(
    ("messages", "message"),
    [
        (None, 'has no "messages"'),
        ([], 'has no "messages"'),
        ([{"role": "robot", "content": "x"}], "message 1 has no role of"),
        ([USER, {"role": "assistant"}], "message 2 has no text"),
        ([ANSWER], "of the role assistant at the beginning"),
        ([USER, USER, ANSWER], "message 2 is of the role user after user"),
        ([USER, ANSWER, {"role": "tool", "content": "1"}], "did not make"),
        ([USER], "no message of the assistant's"),
    ],
)
def test_roles_out_of_order_are_named(messages: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        conversation_of({"messages": messages}, "line 1")


def test_calls_and_their_answers_survive() -> None:
    call = {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"function": {"name": "f", "arguments": {}}}],
    }
    tools = [{"type": "function", "function": {"name": "f"}}]
    messages = [USER, call, {"role": "tool", "content": "1"}, ANSWER, USER]
    conversation = conversation_of({"messages": messages, "tools": tools}, "line 1")
    assert list(conversation.messages) == messages[:-1]
    assert list(conversation.tools) == tools


def test_a_damaged_row_is_named(tmp_path: Path) -> None:
    path = _write(tmp_path / "chats.jsonl", [{"messages": [USER, ANSWER]}, {"text": "x"}])
    with pytest.raises(ValueError, match=r"chats.jsonl line 2 has no \"messages\""):
        list(conversations(str(path)))


@given(st.lists(st.integers(1, 90), min_size=1, max_size=200), st.integers(1, 64), st.integers(0, 9))
def test_packing_keeps_every_document_once_and_fits(lengths: list[int], row_length: int, seed: int) -> None:
    rows = pack(np.array(lengths), row_length, seed)
    assert sorted(index for row in rows for index in row) == list(range(len(lengths)))
    assert all(sum(min(lengths[index], row_length) for index in row) <= row_length for row in rows)


def test_packed_rows_hold_documents_side_by_side() -> None:
    tokens = np.arange(100, 112, dtype="<u2")
    starts = np.array([0, 4, 7, 12])
    weights = np.array([0, 0, 1, 1, 0, 1, 2, 0, 0, 0, 1, 1], "<f2")
    rows = PackedRows(tokens, weights, starts, length=10, seed=0)
    batch = rows.batch(np.arange(len(rows)))
    assert batch.weights is not None
    assert batch.positions is not None
    learnt = {(int(t), float(w)) for t, w in zip(batch.targets[0], batch.weights[0], strict=True) if w}
    assert learnt == {(102, 1), (103, 1), (105, 1), (106, 2), (110, 1), (111, 1)}
    # Each target follows its token, in the same document.
    counted = batch.weights[0] > 0
    assert (batch.targets[0][counted] == batch.tokens[0][counted] + 1).all()
    assert sorted(np.diff([*np.flatnonzero(batch.positions[0] == 0), 10])) == [1, 2, 3, 4]


def test_documents_whose_answer_is_cut_off_are_left_out() -> None:
    tokens, starts = np.arange(100, 112, dtype="<u2"), np.array([0, 4, 12])
    weights = np.array([0, 0, 1, 1, 0, 0, 0, 0, 0, 0, 1, 1], "<f2")
    rows = PackedRows(tokens, weights, starts, length=4, seed=0)
    assert (len(rows), rows.num_cut) == (1, 1)
    assert rows.batch(np.array([0])).tokens[0, :3].tolist() == [100, 101, 102]
    with pytest.raises(ValueError, match="no answer begins within 1 tokens"):
        PackedRows(tokens, weights, starts, length=1, seed=0)
