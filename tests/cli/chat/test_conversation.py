from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from phonelm.cli.chat.conversation import Conversation, Turn
from phonelm.engine import Model, load

OPTIONS = {"max_tokens": 2, "temperature": 0.0}


@pytest.fixture(scope="module")
def model(chatty_gguf: Path) -> Iterator[Model]:
    with load(chatty_gguf, num_threads=1) as model:
        yield model


def test_the_oldest_turns_leave_a_full_context(model: Model) -> None:
    conversation = Conversation(model, None, {})
    conversation.turns = [Turn(f"{number}" * 10, "b" * 10) for number in range(3)]
    # A turn has 26 bytes, a question beside it 6 more than its text; 72 are free beside an answer.
    answer, num_dropped = conversation.ask("c" * 20, OPTIONS)
    assert num_dropped == 2
    assert conversation.turns == [Turn("2222222222", "bbbbbbbbbb")]
    assert answer.prompt_tokens == 26 + 26
    assert conversation.num_tokens == 26 + 3


def test_a_refused_question_forgets_nothing(model: Model) -> None:
    conversation = Conversation(model, "s", {})
    conversation.turns = [Turn("a", "b")]
    with pytest.raises(ValueError, match="context holds 96"):
        conversation.ask("c" * 200, OPTIONS)
    assert conversation.turns == [Turn("a", "b")]


def test_the_next_answer_is_that_of_the_whole_conversation(model: Model) -> None:
    conversation = Conversation(model, "s", {})
    conversation.turns = [Turn("a", "b")]
    answer, _ = conversation.ask("c", OPTIONS)
    roles = [("system", "s"), ("user", "a"), ("assistant", "b"), ("user", "c")]
    messages = [{"role": role, "content": content} for role, content in roles]
    assert answer.text == model.chat(messages, **OPTIONS)
