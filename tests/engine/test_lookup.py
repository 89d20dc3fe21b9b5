"""Drafts looked up in the text so far: the same tokens, fewer passes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phonelm import _native
from phonelm.engine import Model, load
from phonelm.engine.generation import Generation

FUNCTION = '''def area_of_square(side):
    """Return the area of a square."""
    if side < 0:
        raise ValueError("side must not be negative")
    return side * side
'''
PROMPTS = [
    "Once upon a time",
    "1 2 3 4 5 6 1 2 3 4 5 6 1 2",
    f"The code:\n{FUNCTION}\nThe same code again:\n",
    "Question: The capital of France?\nAnswer: Paris\nQuestion: The capital of Italy?\nAnswer:",
]


def run(model: Model, prompt: str, lookup: bool, **options: object) -> Generation:
    model._pool.clear()
    generation = model.generate(prompt, lookup=lookup, **options)  # type: ignore[arg-type]
    "".join(generation)
    return generation


def guess_always(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draft whatever was looked up, however often it was wrong: more to verify than the policy would."""

    class Eager:
        def __init__(self, prompt: list[int]) -> None:
            self._inner = _native.Speculation(prompt)
            self._known = list(prompt)
            self.num_drafted = self.num_accepted = 0

        def propose(self, known: list[int], most: int) -> list[int]:
            self._inner.propose(known, 0)
            self._known += known
            last = self._known[-1]
            earlier = [at for at, token in enumerate(self._known[:-1]) if token == last]
            return self._known[earlier[-1] + 1 :][: min(most, 7)] if earlier else []

        def advance(self, session, sampler, known, draft, masks):  # type: ignore[no-untyped-def]
            tokens = self._inner.advance(session, sampler, known, draft, masks)
            self._known += tokens[:-1]
            self.num_drafted += len(draft)
            self.num_accepted += len(tokens) - 1
            return tokens

    monkeypatch.setattr("phonelm.engine.decoding._new_speculation", Eager)


@pytest.mark.parametrize("temperature", [0.0, 0.8])
@pytest.mark.parametrize("eager", [False, True])
def test_tokens_are_the_same(
    tiny: Model, monkeypatch: pytest.MonkeyPatch, temperature: float, eager: bool
) -> None:
    if eager:
        guess_always(monkeypatch)
    num_drafted = 0
    for seed in range(12):
        options = {"max_tokens": 60, "temperature": temperature, "top_p": 0.9, "seed": seed}
        prompt = chr(97 + seed) * (seed + 1) + "abcabc"
        plain, guessed = (run(tiny, prompt, lookup, **options) for lookup in (False, True))
        assert guessed.tokens == plain.tokens
        assert guessed.finish_reason == plain.finish_reason
        assert 0 <= guessed.accepted_tokens <= guessed.drafted_tokens
        assert plain.drafted_tokens == 0
        num_drafted += guessed.drafted_tokens
    assert num_drafted > 0


@pytest.mark.slow
@pytest.mark.parametrize("eager", [False, True])
def test_tokens_of_a_trained_model_are_the_same(
    smollm2: Model, monkeypatch: pytest.MonkeyPatch, eager: bool
) -> None:
    if eager:
        guess_always(monkeypatch)
    for prompt in PROMPTS:
        for options in ({}, {"temperature": 0.7, "top_k": 40, "seed": 5}):
            plain, guessed = (
                run(smollm2, prompt, lookup, max_tokens=96, **options) for lookup in (False, True)
            )
            assert guessed.tokens == plain.tokens, prompt


def test_repetition_is_found_and_reported(smollm2: Model) -> None:
    guessed = run(smollm2, PROMPTS[2], True, max_tokens=48)
    assert guessed.accepted_tokens > 10
    assert guessed.acceptance_rate == guessed.accepted_tokens / guessed.drafted_tokens


def test_max_tokens_and_the_context_end_it_at_the_same_token(tiny_gguf: Path) -> None:
    with load(tiny_gguf, num_threads=1, context_length=40) as model:
        for max_tokens in (1, 2, 3, 17, None):
            plain, guessed = (run(model, "ab" * 9, lookup, max_tokens=max_tokens) for lookup in (False, True))
            assert (guessed.tokens, guessed.finish_reason) == (plain.tokens, plain.finish_reason)


def test_a_stop_text_inside_a_run(smollm2: Model) -> None:
    plain, guessed = (
        run(smollm2, PROMPTS[2], lookup, max_tokens=60, stop=["negative"]) for lookup in (False, True)
    )
    assert guessed.text == plain.text
    assert guessed.finish_reason == plain.finish_reason == "stop"


def test_chat_goes_on_after_drafts(smollm2: Model) -> None:
    """What is kept of a session must be the tokens it has, drafts that did not hold left out."""
    turns = [{"role": "user", "content": f"Repeat this code:\n{FUNCTION}"}]
    answers: dict[bool, list[str]] = {}
    for lookup in (False, True):
        smollm2._pool.clear()
        first = smollm2.chat(turns, max_tokens=40, lookup=lookup)
        more = [*turns, {"role": "assistant", "content": first}, {"role": "user", "content": "Shorter."}]
        second = smollm2.chat(more, stream=True, max_tokens=16, lookup=lookup)
        answers[lookup] = [first, "".join(second)]
        assert second.reused_tokens > len(smollm2.tokenizer.encode(FUNCTION))
    assert answers[True] == answers[False]


def test_a_cut_run_leaves_just_its_tokens(smollm2: Model) -> None:
    """However many tokens of the last pass were not taken."""
    for num_pieces in range(1, 30, 4):
        with smollm2.new_session(context_length=400) as session:
            answer = session.generate(PROMPTS[2], lookup=True)
            for _ in range(num_pieces):
                next(answer)
            answer.close()
            ids = smollm2.tokenizer.encode_prompt(PROMPTS[2]) + answer.tokens
            assert session.tokens == ids
            session.evaluate(" and more")
            assert session.tokens[: len(ids)] == ids


def test_a_sliding_context_slides_at_the_same_token(tiny_gguf: Path) -> None:
    with load(tiny_gguf, num_threads=1, context_length=64) as model:
        options = {"max_tokens": 150, "context_overflow": "slide"}
        plain, guessed = (run(model, "abc" * 15, lookup, **options) for lookup in (False, True))
        assert guessed.tokens == plain.tokens
        assert guessed.accepted_tokens > 0


def test_a_pass_is_checked() -> None:
    speculation = _native.Speculation([1, 2, 3])
    assert speculation.propose([4], 0) == []
    assert speculation.num_drafted == speculation.num_accepted == 0


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_drafts_follow_the_longest_match(data: st.DataObject) -> None:
    """After much has held, the draft is what followed the longest, then the latest, earlier end."""
    period = data.draw(st.integers(1, 9))
    unit = data.draw(st.lists(st.integers(5, 9), min_size=period, max_size=period))
    prompt = (unit * 80)[: data.draw(st.integers(40, 60))]
    draft = _native.Speculation(prompt[:-1]).propose(prompt[-1:], 11)
    assert draft == (unit * 80)[len(prompt) :][: len(draft)]
    assert len(draft) > 0


def test_nothing_is_drafted_for_new_text() -> None:
    ids = [int(token) for token in np.random.default_rng(0).permutation(1000)]
    assert _native.Speculation(ids[:-1]).propose(ids[-1:], 11) == []
