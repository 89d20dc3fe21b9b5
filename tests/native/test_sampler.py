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


def penalized(logits: np.ndarray, before: list[int], options: dict[str, float]) -> np.ndarray:
    """llama.cpp's definition, for all tokens at once."""
    last_n, repeat = int(options["repeat_last_n"]), np.float32(options["repeat_penalty"])
    recent = before if last_n == -1 else before[max(len(before) - last_n, 0) :]
    known = np.array([token for token in recent if token < len(logits)], np.int64)
    counts = np.bincount(known, minlength=len(logits))
    there = counts > 0
    changed = np.where(there, np.where(logits > 0, logits / repeat, logits * repeat), logits)
    subtracted = counts * options["frequency_penalty"] + there * options["presence_penalty"]
    return (changed - subtracted).astype(np.float32)


penalties = st.fixed_dictionaries(
    {
        "repeat_penalty": st.sampled_from([0.5, 1.0, 1.3, 4.0]),
        "presence_penalty": st.sampled_from([-1.0, 0.0, 0.7]),
        "frequency_penalty": st.sampled_from([0.0, 0.4, -0.3]),
        "repeat_last_n": st.sampled_from([-1, 0, 1, 5, 64]),
    }
)


@given(seed=seeds, vocab=st.integers(1, 40), num_before=st.integers(0, 90), options=penalties)
def test_penalties_are_llama_cpp_s(seed: int, vocab: int, num_before: int, options: dict[str, float]) -> None:
    logits, allowed = draw(seed, vocab, 0.5)
    before = np.random.default_rng(seed + 1).integers(0, vocab + 2, num_before).tolist()
    expected = penalized(logits, before, options)
    sampler = _native.Sampler(**options)
    # Sums may round otherwise: any of the best will do.
    assert expected[sampler.choose(logits, before=before)] >= expected.max() - 1e-5
    token = sampler.choose(logits, mask_of(allowed), before)
    if allowed.any():
        assert allowed[token]
        assert expected[token] >= expected[allowed].max() - 1e-5
    else:
        assert token == -1


@given(seed=seeds, num_before=st.integers(0, 90))
def test_neutral_penalties_change_no_draw(seed: int, num_before: int) -> None:
    logits, _ = draw(seed, 70, 1.0)
    before = np.random.default_rng(seed).integers(0, 70, num_before).tolist()
    with_tokens, without = (_native.Sampler(temperature=1, top_p=0.9, seed=seed) for _ in range(2))
    assert [with_tokens.choose(logits, before=before) for _ in range(8)] == [
        without.choose(logits) for _ in range(8)
    ]


def typical_tokens(logits: np.ndarray, mass: float) -> set[int]:
    """Meister et al. 2022: the smallest set nearest to the entropy that holds more than the mass."""
    shares = np.exp(logits - logits.max())
    shares = shares / shares.sum()
    surprise = -np.log(shares)
    order = np.argsort(np.abs(surprise - (shares * surprise).sum()), kind="stable")
    above = np.flatnonzero(np.cumsum(shares[order]) > mass)
    return set(order[: above[0] + 1 if len(above) else len(order)].tolist())


@given(seed=seeds, mass=st.sampled_from([0.05, 0.3, 0.7, 0.97]))
def test_typical_sampling_draws_from_the_typical_tokens(seed: int, mass: float) -> None:
    logits = (3 * draw(seed, 12, 1.0)[0]).astype(np.float32)
    sampler = _native.Sampler(temperature=1, typical_p=mass, seed=seed)
    drawn = {sampler.choose(logits) for _ in range(400)}
    expected = typical_tokens(logits.astype(np.float64), mass)
    assert drawn <= expected
    shares = np.exp(logits - logits.max())
    likely = {t for t in expected if shares[t] > 0.05 * sum(shares[u] for u in expected)}
    assert likely <= drawn


def test_typical_sampling_comes_after_top_k_and_before_top_p() -> None:
    logits = np.log(np.array([50, 20, 15, 10, 5], np.float64)).astype(np.float32)
    kept = typical_tokens(logits[:3].astype(np.float64), 0.3)
    sampler = _native.Sampler(temperature=1, top_k=3, typical_p=0.3, seed=1)
    assert {sampler.choose(logits) for _ in range(200)} == kept
    best = max(kept, key=lambda token: logits[token])
    narrow = _native.Sampler(temperature=1, top_k=3, typical_p=0.3, top_p=0.01, seed=1)
    assert {narrow.choose(logits) for _ in range(50)} == {best}


@pytest.mark.parametrize(
    ("option", "value"),
    [("typical_p", 0.0), ("typical_p", 1.5), ("repeat_penalty", 0.0), ("repeat_penalty", float("nan")),
     ("presence_penalty", float("inf")), ("frequency_penalty", float("nan")), ("repeat_last_n", -2)],
)  # fmt: skip
def test_options_out_of_range_are_refused(option: str, value: float) -> None:
    with pytest.raises(ValueError, match=option):
        _native.Sampler(**{option: value})
