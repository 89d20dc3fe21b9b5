"""Conversations as files: `{"messages": [{"role": ..., "content": ...}]}`, as chat interfaces write them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from phonelm.cli.chat.conversation import Conversation, Turn
from phonelm.files import write_json


def save(path: Path, conversation: Conversation) -> None:
    """Write the conversation, whole or not at all. Raises `OSError` where that fails."""
    opening = [{"role": "system", "content": conversation.system}] if conversation.system else []
    messages = opening + [message for turn in conversation.turns for message in turn.messages]
    write_json(path, {"model": conversation.model.path.name, "messages": messages})


def read(path: Path) -> tuple[str | None, list[Turn]]:
    """Return the instruction and the turns of a file.

    Raises `OSError` where it cannot be read, `ValueError` for what is no conversation of a user and an
    assistant in turn.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not valid JSON ({error}); give a file that /save wrote") from None
    texts = _texts(path, document)
    system = texts.pop(0)[1] if texts and texts[0][0] == "system" else None
    if [role for role, _ in texts] != ["user", "assistant"] * (len(texts) // 2):
        raise _foreign(path, "its messages are not a user's and an assistant's in turn")
    contents = [content for _, content in texts]
    return system, [Turn(*pair) for pair in zip(contents[::2], contents[1::2], strict=True)]


def _texts(path: Path, document: Any) -> list[tuple[str, str]]:
    messages = document.get("messages") if isinstance(document, dict) else None
    if not isinstance(messages, list):
        raise _foreign(path, "it has no list of messages")
    for message in messages:
        if not isinstance(message, dict) or message.keys() != {"role", "content"}:
            raise _foreign(path, "a message is more, or less, than a role and a content")
        if not all(isinstance(value, str) for value in message.values()):
            raise _foreign(path, "a role or a content is no text")
    return [(message["role"], message["content"]) for message in messages]


def _foreign(path: Path, problem: str) -> ValueError:
    return ValueError(f"{path} is no conversation: {problem}; give a file that /save wrote")
