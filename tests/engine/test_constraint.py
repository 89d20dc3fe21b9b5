"""The mask hook, driven by hand-written constraints."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from phonelm.engine import Model
from phonelm.engine.constraint import TokenMask, allows, new_mask


class OnlyTexts:
    """The answer is one of some texts of ASCII characters, of which none begins another."""

    def __init__(self, model: Model, texts: Sequence[str], force: bool = False) -> None:
        self._texts = [model.tokenizer.encode(text) for text in texts]
        self._stops = model.tokenizer.stop_ids
        self._force = force
        self.taken: list[int] = []
        self.num_masks = 0

    def _rest(self) -> list[list[int]]:
        count = len(self.taken)
        return [text[count:] for text in self._texts if text[:count] == self.taken]

    @property
    def is_finished(self) -> bool:
        return self._rest() == [[]]

    def fill_mask(self, mask: TokenMask) -> None:
        self.num_masks += 1
        mask[:] = 0
        for rest in self._rest():
            for token in rest[:1] or self._stops:
                mask[token // 32] |= np.uint32(1 << token % 32)

    def accept(self, token: int) -> None:
        assert any(rest[:1] == [token] for rest in self._rest())
        self.taken.append(token)

    def forced(self) -> list[int]:
        rest = self._rest()
        return rest[0] if self._force and len(rest) == 1 else []

    def rollback(self, num_tokens: int) -> None:
        del self.taken[len(self.taken) - num_tokens :]


class Nothing(OnlyTexts):
    """Allows no token after the first two."""

    def __init__(self, model: Model) -> None:
        super().__init__(model, ["ab", "ac"])

    @property
    def is_finished(self) -> bool:
        return False

    def fill_mask(self, mask: TokenMask) -> None:
        super().fill_mask(mask)
        if len(self.taken) == 2:
            mask[:] = 0


@pytest.mark.parametrize("lookup", [False, True])
@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("options", [{}, {"temperature": 1.5, "top_k": 5, "seed": 3}])
def test_the_answer_is_one_of_the_allowed(
    tiny: Model, lookup: bool, force: bool, options: dict[str, float]
) -> None:
    texts = ["hello there", "hello world", "good day"]
    run = tiny.generate(
        "hello there. ", constraint=OnlyTexts(tiny, texts, force), lookup=lookup, max_tokens=40, **options
    )
    assert "".join(run) in texts
    assert run.finish_reason == "stop"


@pytest.mark.parametrize("lookup", [False, True])
def test_forced_tokens_are_those_that_would_have_been_drawn(tiny: Model, lookup: bool) -> None:
    texts = ["one long answer that is forced from its first letter", "two long answers, forced as well"]
    answers = []
    for force in (False, True):
        rule = OnlyTexts(tiny, texts, force)
        run = tiny.generate("x", constraint=rule, max_tokens=80, lookup=lookup)
        answers.append(("".join(run), run.tokens, run.finish_reason))
        assert rule.num_masks == 1 if force else rule.num_masks >= len(run.tokens)
    assert answers[0] == answers[1]


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("max_tokens", [1, 2, 5, 10, 11, 12])
def test_max_tokens_cuts(tiny: Model, force: bool, max_tokens: int) -> None:
    run = tiny.generate("x", constraint=OnlyTexts(tiny, ["hello there"], force), max_tokens=max_tokens)
    assert "".join(run) == "hello there"[:max_tokens]
    assert run.finish_reason == ("stop" if max_tokens >= 11 else "length")


def test_the_context_cuts(tiny: Model) -> None:
    for force in (False, True):
        run = tiny.generate([65] * 90, constraint=OnlyTexts(tiny, ["hello there"], force), max_tokens=None)
        assert "".join(run) == "hello t"
        assert run.finish_reason == "context"


@pytest.mark.parametrize("lookup", [False, True])
def test_a_mask_without_a_token_ends_it(tiny: Model, lookup: bool) -> None:
    run = tiny.generate("abac", constraint=Nothing(tiny), max_tokens=20, lookup=lookup)
    assert "".join(run) in ("ab", "ac")
    assert run.finish_reason == "constraint"


@pytest.mark.parametrize("lookup", [False, True])
def test_stop_tokens_end_it_where_they_are_allowed(tiny: Model, lookup: bool) -> None:
    class NeverFinished(OnlyTexts):
        @property
        def is_finished(self) -> bool:
            return False

    run = tiny.generate("x", constraint=NeverFinished(tiny, ["abcabcabcabc"]), max_tokens=40, lookup=lookup)
    assert ("".join(run), run.finish_reason) == ("abcabcabcabc", "stop")
    assert len(run.tokens) == 12


def test_an_error_in_a_constraint_is_raised_and_leaves_the_model_usable(tiny: Model) -> None:
    class Broken(OnlyTexts):
        def fill_mask(self, mask: TokenMask) -> None:
            raise ValueError("no more")

    with pytest.raises(ValueError, match="no more"):
        list(tiny.generate("x", constraint=Broken(tiny, ["a"])))
    assert "".join(tiny.generate("x", max_tokens=3)) is not None


def test_masks_are_words_of_32_tokens() -> None:
    mask = new_mask(33)
    assert mask.shape == (2,)
    mask[1] = 1
    assert [token for token in range(64) if allows(mask, token)] == [32]
