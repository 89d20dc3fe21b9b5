"""The choice of a token under a mask, against numpy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from phonelm import _native

seeds = st.integers(0, 2**32 - 1)


def mask_of(allowed: np.ndarray) -> np.ndarray:
    padded = np.zeros((len(allowed) + 31) // 32 * 32, bool)
    padded[: len(allowed)] = allowed
    return np.packbits(padded, bitorder="little").view(np.uint32)


def draw(seed: int, vocab: int, share: float) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.standard_normal(vocab).astype(np.float32), rng.random(vocab) < share


@given(seed=seeds, vocab=st.integers(1, 300), share=st.sampled_from([0.0, 0.02, 0.5, 1.0]))
def test_greedy_takes_the_best_allowed(seed: int, vocab: int, share: float) -> None:
    logits, allowed = draw(seed, vocab, share)
    expected = np.where(allowed, logits, -np.inf).argmax() if allowed.any() else -1
    assert _native.Sampler().choose(logits, mask_of(allowed)) == expected


@given(seed=seeds, vocab=st.integers(1, 300), share=st.sampled_from([0.02, 0.5]))
def test_draws_are_allowed(seed: int, vocab: int, share: float) -> None:
    logits, allowed = draw(seed, vocab, share)
    for options in ({"top_k": 3}, {"top_p": 0.7}, {"min_p": 0.2}, {}):
        token = _native.Sampler(temperature=1.5, seed=seed, **options).choose(logits, mask_of(allowed))
        assert allowed[token] if allowed.any() else token == -1


@given(seed=seeds)
def test_a_full_mask_is_none(seed: int) -> None:
    logits, allowed = draw(seed, 70, 1.0)
    masked, free = (_native.Sampler(temperature=1, top_p=0.9, seed=seed) for _ in range(2))
    assert [masked.choose(logits, mask_of(allowed)) for _ in range(8)] == [
        free.choose(logits) for _ in range(8)
    ]


def test_shares_under_a_mask_are_those_of_the_allowed() -> None:
    logits = np.log(np.array([8, 4, 2, 1, 1], np.float32))
    sampler = _native.Sampler(temperature=1, seed=3)
    mask = mask_of(np.array([False, True, True, False, True]))
    drawn = np.bincount([sampler.choose(logits, mask) for _ in range(20000)], minlength=5) / 20000
    np.testing.assert_allclose(drawn, np.array([0, 4, 2, 0, 1]) / 7, atol=0.015)


@pytest.mark.parametrize("value", [np.nan, -np.inf])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_broken_logits_give_an_allowed_token(value: float, temperature: float) -> None:
    logits = np.full(100, value, np.float32)
    mask = mask_of(np.arange(100) == 77)
    assert _native.Sampler(temperature=temperature).choose(logits, mask) == 77


def test_tokens_past_the_mask_are_not_allowed() -> None:
    logits = np.arange(100, dtype=np.float32)
    assert _native.Sampler().choose(logits, np.array([2**32 - 1], np.uint32)) == 31
    assert _native.Sampler().choose(logits[:40], np.array([0, 2**31], np.uint32)) == -1


def test_a_mask_without_words_is_refused() -> None:
    with pytest.raises(ValueError, match="no words"):
        _native.Sampler().choose(np.zeros(3, np.float32), np.zeros(0, np.uint32))
