"""Biases, DRY and XTC against numpy, and DRY and XTC against llama.cpp."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dry_reference import dry_penalties
from hypothesis import given
from hypothesis import strategies as st
from llama_cpp import LlamaCpp
from test_sampler import draw, mask_of, seeds

from phonelm import _native
from phonelm.engine import Model, load


def ranking(sampler: _native.Sampler, logits: np.ndarray, before: list[int]) -> list[int]:
    """All tokens from the best to the worst, as greedy choices of what is left."""
    left, order = np.ones(len(logits), bool), []
    while (token := sampler.choose(logits, mask_of(left), before)) >= 0:
        order.append(token)
        left[token] = False
    return order


dry_options = st.fixed_dictionaries(
    {
        "dry_multiplier": st.sampled_from([0.3, 0.8, 5.0]),
        "dry_base": st.sampled_from([1.0, 1.75, 3.0]),
        "dry_allowed_length": st.integers(1, 4),
        "dry_penalty_last_n": st.sampled_from([-1, 0, 1, 5, 20]),
    }
)
few_tokens = st.lists(st.integers(0, 4), max_size=40)


@given(
    seed=seeds,
    before=few_tokens,
    options=dry_options,
    breakers=st.lists(st.lists(st.integers(0, 4), min_size=1, max_size=3), max_size=3),
)
def test_dry_is_its_description(
    seed: int, before: list[int], options: dict[str, Any], breakers: list[list[int]]
) -> None:
    logits, _ = draw(seed, 6, 1.0)
    expected = logits - dry_penalties(before, len(logits), options, breakers)
    order = ranking(_native.Sampler(**options, dry_breakers=breakers), logits, before)
    assert sorted(order) == list(range(6))
    assert (np.diff(expected[order]) <= 1e-4 * (1 + np.abs(expected[order][1:]))).all()


def test_long_repetitions_stay_numbers() -> None:
    sampler = _native.Sampler(dry_multiplier=1e30, dry_base=1e30)
    assert sampler.choose(np.zeros(3, np.float32), before=[1] * 500) == 0
    assert sampler.choose(np.array([-5, 9, -9], np.float32), before=[1] * 500) == 0


biases = st.lists(
    st.tuples(st.integers(0, 12), st.sampled_from([-np.inf, -2.0, -0.5, 0.0, 0.7, 100.0])), max_size=8
)


@given(seed=seeds, pairs=biases, share=st.sampled_from([0.3, 1.0]), temperature=st.sampled_from([0.0, 1.0]))
def test_biases_are_added(
    seed: int, pairs: list[tuple[int, float]], share: float, temperature: float
) -> None:
    logits, allowed = draw(seed, 10, share)
    expected = np.where(allowed, logits, -np.inf)
    for token, bias in pairs:
        if token < len(logits):
            expected[token] += np.float32(bias)
    sampler = _native.Sampler(temperature=temperature, seed=seed, logit_bias=pairs)
    token = sampler.choose(logits, mask_of(allowed))
    if np.isneginf(expected).all():
        assert token == -1
    elif temperature == 0:
        assert token == expected.argmax()
    else:
        assert expected[token] > -np.inf


@pytest.mark.parametrize("value", [np.nan, -np.inf])
def test_a_ban_holds_where_no_logit_is_a_number(value: float) -> None:
    sampler = _native.Sampler(logit_bias=[(0, -np.inf), (1, -np.inf)])
    assert sampler.choose(np.full(4, value, np.float32)) == 2
    assert sampler.choose(np.full(2, value, np.float32)) == -1


def left_by_xtc(logits: np.ndarray, threshold: float) -> set[int]:
    """llama.cpp PR 9742: of the tokens at the threshold or above, only the least likely stays."""
    shares = np.exp(logits - logits.max())
    shares /= shares.sum()
    top = [token for token in np.argsort(-shares, kind="stable") if shares[token] >= threshold]
    return set(range(len(logits))) - set(map(int, top[:-1]))


@given(seed=seeds, threshold=st.sampled_from([0.0, 0.02, 0.1, 0.3, 0.6]))
def test_xtc_leaves_out_the_top_choices(seed: int, threshold: float) -> None:
    logits = (2 * draw(seed, 8, 1.0)[0]).astype(np.float32)
    expected = left_by_xtc(logits.astype(np.float64), threshold)
    sampler = _native.Sampler(temperature=1, xtc_probability=1.0, xtc_threshold=threshold, seed=seed)
    drawn = {sampler.choose(logits) for _ in range(400)}
    assert drawn <= expected
    shares = np.exp(logits)
    assert {t for t in expected if shares[t] > 0.05 * sum(shares[u] for u in expected)} <= drawn


def test_xtc_s_probability_is_that_of_a_token() -> None:
    shares = np.array([0.5, 0.3, 0.15, 0.05])
    sampler = _native.Sampler(temperature=1, xtc_probability=0.25, xtc_threshold=0.1, seed=5)
    logits = np.log(shares).astype(np.float32)
    drawn = np.bincount([sampler.choose(logits) for _ in range(40000)], minlength=4) / 40000
    left = np.array([0, 0, 0.75, 0.25])
    np.testing.assert_allclose(drawn, 0.75 * shares + 0.25 * left, atol=0.01)


def test_xtc_comes_after_top_p() -> None:
    logits = np.log(np.array([0.4, 0.3, 0.2, 0.1])).astype(np.float32)
    sampler = _native.Sampler(temperature=1, top_p=0.65, xtc_probability=1.0, xtc_threshold=0.1, seed=1)
    assert {sampler.choose(logits) for _ in range(50)} == {1}


@given(seed=seeds, before=few_tokens)
def test_what_is_off_changes_no_draw(seed: int, before: list[int]) -> None:
    logits, _ = draw(seed, 70, 1.0)
    off = {"dry_multiplier": 0.0, "dry_base": 3.0, "xtc_probability": 0.0, "xtc_threshold": 0.0}
    given, plain = (
        _native.Sampler(temperature=1, top_p=0.9, seed=seed, **options)
        for options in ({**off, "dry_breakers": [[1]]}, {})
    )
    assert [given.choose(logits, before=before) for _ in range(8)] == [plain.choose(logits) for _ in range(8)]


@pytest.mark.parametrize(
    ("option", "value"),
    [("dry_multiplier", -1.0), ("dry_multiplier", float("nan")), ("dry_base", 0.5), ("dry_allowed_length", 0),
     ("dry_penalty_last_n", -2), ("xtc_probability", 1.5), ("xtc_probability", 0.5), ("xtc_threshold", -0.1),
     ("logit_bias", [(-1, 0.0)]), ("logit_bias", [(1, float("nan"))]), ("logit_bias", [(1, float("inf"))])],
)  # fmt: skip
def test_options_out_of_range_are_refused(option: str, value: Any) -> None:
    with pytest.raises(ValueError, match=option):
        _native.Sampler(**{option: value})


@pytest.fixture(scope="module")
def tiny(tiny_gguf: Path) -> Iterator[Model]:
    with load(tiny_gguf, num_threads=1) as model:
        yield model


@pytest.mark.parametrize("text", ["\n", "ab", "abc", "é", "<|endoftext|>"])
def test_a_breaker_is_found_wherever_it_may_stand(tiny: Model, text: str) -> None:
    native, data = tiny.tokenizer._native, text.encode()
    found = _native.dry_breakers(native, data)
    expected = []
    for token in range(native.vocab_size):
        own = native.token_bytes(token, True)
        if data in own:
            expected.append([token])
        else:
            ends = [size for size in range(1, len(data)) if own.endswith(data[:size])]
            expected += [[token, *native.encode(data[size:])] for size in ends]
    assert sorted(found) == sorted(expected)
    assert found
    with pytest.raises(ValueError, match="breaker is empty"):
        _native.dry_breakers(native, b"")


@pytest.fixture(scope="module")
def llama_cpp(tiny_gguf: Path) -> LlamaCpp:
    pytest.importorskip("xllamacpp")
    return LlamaCpp(tiny_gguf, 96)


def their_shares(llama_cpp: LlamaCpp, prompt: list[int], vocab: int, **options: Any) -> dict[int, float]:
    """Shares of the tokens that llama.cpp draws the next one from."""
    request = {"temperature": 1.0, "n_probs": vocab, "post_sampling_probs": True, "seed": 1, **options}
    done = llama_cpp._complete(prompt, 1, **request)
    (place,) = done["completion_probabilities"]
    return {choice["id"]: choice["prob"] for choice in place["top_probs"]}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "options", "breakers"),
    [
        ("abcabcabcab", {}, []),
        ("abcabcabcab", {"dry_allowed_length": 4, "dry_multiplier": 2.0}, []),
        ("abc\nabc\nabc", {}, ["\n"]),
        ("a: bc a: bc", {"dry_base": 1.3}, [": ", "xy"]),
        ("xyzxyzabxyzxy", {"dry_penalty_last_n": 7}, []),
        ("abababab", {"dry_allowed_length": 1}, ["b"]),
    ],
)
def test_dry_is_llama_cpp_s(
    llama_cpp: LlamaCpp, tiny: Model, text: str, options: dict[str, Any], breakers: list[str]
) -> None:
    chosen = {"dry_multiplier": 0.8, "dry_base": 1.75, "dry_allowed_length": 2, "dry_penalty_last_n": 64}
    chosen |= options
    prompt, vocab = list(text.encode()), tiny.tokenizer.vocab_size
    plain = their_shares(llama_cpp, prompt, vocab, samplers=["temperature"])
    # llama.cpp takes its own breakers where there are none.
    asked = {**chosen, "dry_sequence_breakers": breakers or ["\0"]}
    theirs = their_shares(llama_cpp, prompt, vocab, samplers=["dry", "temperature"], **asked)
    sequences = [one for text in breakers for one in tiny.tokenizer.breakers(text)]
    penalties = dry_penalties(prompt, vocab, chosen, sequences)
    assert (penalties > 0).any() or breakers
    expected = np.array([plain.get(token, 0.0) for token in range(vocab)]) * np.exp(-penalties)
    found = np.array([theirs.get(token, 0.0) for token in range(vocab)])
    np.testing.assert_allclose(found, expected / expected.sum(), rtol=1e-3, atol=1e-7)


@pytest.mark.slow
@pytest.mark.parametrize("threshold", [0.004, 0.01, 0.1])
def test_xtc_is_llama_cpp_s(llama_cpp: LlamaCpp, tiny: Model, threshold: float) -> None:
    prompt, vocab = list(b"hello"), tiny.tokenizer.vocab_size
    plain = their_shares(llama_cpp, prompt, vocab, samplers=["temperature"])
    options = {"xtc_probability": 1.0, "xtc_threshold": threshold, "samplers": ["temperature", "xtc"]}
    theirs = {token for token, prob in their_shares(llama_cpp, prompt, vocab, **options).items() if prob > 0}
    logits = np.log(np.array([plain.get(token, 1e-30) for token in range(vocab)]))
    assert theirs == left_by_xtc(logits, threshold) & plain.keys()
