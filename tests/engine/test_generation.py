from __future__ import annotations

import dataclasses
import inspect
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from phonelm import _native
from phonelm.engine import Grammar, Model, SamplingOptions, load


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("temperature", -0.1),
        ("temperature", float("nan")),
        ("top_k", -1),
        ("top_p", 0.0),
        ("top_p", 1.1),
        ("min_p", 1.0),
        ("typical_p", 0.0),
        ("repeat_penalty", 0.0),
        ("presence_penalty", float("inf")),
        ("frequency_penalty", float("nan")),
        ("repeat_last_n", -2),
        ("max_tokens", 0),
        ("max_tokens", 1.5),
        ("seed", -1),
        ("seed", 2**64),
        ("seed", 0.5),
        ("stop", ("",)),
        ("temperature", 1e39),
        ("temperature", 10**400),
        ("temperature", "warm"),
        ("top_k", 2.0),
        ("top_p", "0.5"),
        ("min_p", float("nan")),
        ("logit_bias", [5]),
        ("logit_bias", {-1: 1.0}),
        ("logit_bias", {"": 1.0}),
        ("logit_bias", {5: float("inf")}),
        ("logit_bias", {5: float("nan")}),
        ("logit_bias", {5: True}),
        ("dry_multiplier", -0.1),
        ("dry_base", 0.9),
        ("dry_allowed_length", 0),
        ("dry_penalty_last_n", -2),
        ("dry_sequence_breakers", ("a", "")),
        ("xtc_probability", 1.1),
        ("xtc_probability", 0.5),  # without a temperature
        ("xtc_threshold", -0.1),
    ],
)
def test_options_out_of_range_are_refused(option: str, value: Any) -> None:
    with pytest.raises(ValueError, match=option.split("_")[0]):
        SamplingOptions(**{option: value})


def test_a_seed_is_drawn_and_kept_when_none_is_given() -> None:
    seeds = {SamplingOptions().seed for _ in range(8)}
    assert len(seeds) > 1
    assert all(seed is not None and seed >= 0 for seed in seeds)
    assert SamplingOptions(seed=7).seed == 7


def test_defaults_are_the_core_s() -> None:
    options = SamplingOptions()
    core = _native.Sampler.defaults
    assert sorted(core) == [
        "dry_allowed_length", "dry_base", "dry_multiplier", "dry_penalty_last_n", "frequency_penalty",
        "min_p", "presence_penalty", "repeat_last_n", "repeat_penalty", "temperature", "top_k", "top_p",
        "typical_p", "xtc_probability", "xtc_threshold",
    ]  # fmt: skip
    assert {name: getattr(options, name) for name in core} == core


def test_generate_names_every_option_with_its_default() -> None:
    parameters = inspect.signature(Model.generate).parameters
    expected = {field.name: field.default for field in dataclasses.fields(SamplingOptions)}
    expected["max_tokens"] = 256
    assert {name: parameters[name].default for name in expected} == expected


def test_keywords_go_before_the_method_s_defaults() -> None:
    options = SamplingOptions.from_keywords({"max_tokens": 3, "stop": "end"}, max_tokens=256, top_k=5)
    assert (options.max_tokens, options.top_k, options.stop) == (3, 5, ("end",))
    assert SamplingOptions.from_keywords({"stop": ["a", "b"]}).stop == ("a", "b")
    with pytest.raises(TypeError, match="topk"):
        SamplingOptions.from_keywords({"topk": 5})


@pytest.mark.parametrize(
    "options",
    [
        {"top_k": 2**31}, {"top_k": 2**70}, {"top_k": np.int64(3)}, {"top_p": 1e-60}, {"min_p": 1 - 1e-12},
        {"typical_p": 1e-60}, {"temperature": 1e-60}, {"temperature": np.float32(0.5)}, {"seed": 2**64 - 1},
        {"max_tokens": 2**70}, {"repeat_last_n": 2**40, "repeat_penalty": 1e-60},
        {"presence_penalty": -3e38, "frequency_penalty": 3e38},
    ],
)  # fmt: skip
def test_numbers_that_the_core_s_types_lack_work(tiny: Model, options: dict[str, Any]) -> None:
    given = {"temperature": 1.0, "seed": 1, "max_tokens": 3, **options}
    run = tiny.generate("hello", **given)
    next(run)
    run.close()
    assert len(run.tokens) >= 1


def test_a_top_k_beyond_the_vocabulary_is_none(tiny: Model) -> None:
    options = {"temperature": 1.0, "seed": 3, "max_tokens": 8}
    texts = {tiny.generate("hello", top_k=top_k, **options).text for top_k in (0, 288, 2**31, 2**80)}
    assert len(texts) == 1


def test_the_text_is_that_of_the_pieces(tiny: Model) -> None:
    options = {"max_tokens": 12, "seed": 1, "temperature": 1.0}
    whole = "".join(tiny.generate("hello", **options))
    run = tiny.generate("hello", **options)
    assert repr(run) == "<Generation: 0 tokens, finish_reason=None>"
    assert not run.is_complete
    first = next(run)
    assert run.text == whole
    assert run.text.startswith(first)
    assert list(run) == []
    assert repr(run).endswith(f"finish_reason={run.finish_reason!r}>")
    cut = tiny.generate("hello", **options)
    piece = next(cut)
    cut.close()
    assert cut.text == piece


def test_only_an_end_of_its_own_is_complete(tiny: Model) -> None:
    pytest.importorskip("llguidance")
    word = Grammar.lark('start: "abcdef"')
    assert tiny.generate("x", grammar=word).is_complete is False
    whole, cut = tiny.generate("x", grammar=word), tiny.generate("x", grammar=word, max_tokens=3)
    stopped = tiny.generate("x", grammar=word, stop="cd")
    assert (whole.text, cut.text, stopped.text) == ("abcdef", "abc", "ab")
    assert (whole.is_complete, cut.is_complete, stopped.is_complete) == (True, False, False)
    free = tiny.generate("x", temperature=1.0, seed=1, max_tokens=200)
    middle = free.text[3]
    by_text = tiny.generate("x", temperature=1.0, seed=1, stop=middle)
    assert (by_text.text in free.text, by_text.is_complete) == (True, True)


def numpy_greedy(model: Model, prompt: list[int], count: int, options: dict[str, Any]) -> list[int]:
    """Greedy decoding with penalties on top of the logits, in numpy."""
    session = model.new_session()
    session.evaluate(prompt)
    tokens = list(prompt)
    for _ in range(count):
        session.evaluate(tokens[session.position :]) if session.position < len(tokens) else None
        logits = session.native.logits()
        last_n = options["repeat_last_n"]
        for token, times in Counter(tokens if last_n < 0 else tokens[-last_n:]).items():
            logits[token] *= 1 / options["repeat_penalty"] if logits[token] > 0 else options["repeat_penalty"]
            logits[token] -= options["presence_penalty"] + times * options["frequency_penalty"]
        tokens.append(int(logits.argmax()))
    return tokens[len(prompt) :]


@pytest.mark.parametrize("lookup", [False, True])
@pytest.mark.parametrize("last_n", [4, 64, -1])
def test_penalties_see_prompt_and_answer(tiny: Model, last_n: int, lookup: bool) -> None:
    options = {"repeat_penalty": 1.5, "presence_penalty": 0.2, "frequency_penalty": 0.1}
    options["repeat_last_n"] = last_n
    prompt = [104, 101, 108, 108, 111] * 4
    run = tiny.generate(prompt, max_tokens=24, lookup=lookup, **options)
    assert run.text is not None
    assert len(run.tokens) > 4
    assert run.tokens == numpy_greedy(tiny, prompt, len(run.tokens), options)
    plain = tiny.generate(prompt, max_tokens=24)
    assert plain.text is not None
    assert run.tokens != plain.tokens
    session = tiny.new_session()
    continued = session.generate(prompt, max_tokens=24, lookup=lookup, **options)
    assert continued.text is not None
    assert continued.tokens == run.tokens
    (batched,) = tiny.generate_batch([prompt], max_tokens=24, **options)
    assert batched.tokens == run.tokens


def test_a_banned_token_is_never_made(tiny: Model) -> None:
    options = {"max_tokens": 24, "temperature": 1.0, "seed": 4}
    free = tiny.generate("hello", **options)
    assert free.text is not None
    banned = max(free.tokens)
    for lookup in (False, True):
        run = tiny.generate("hello", logit_bias={banned: False}, lookup=lookup, **options)
        assert run.text is not None
        assert banned not in run.tokens
    (batched,) = tiny.generate_batch(["hello"], logit_bias={banned: float("-inf")}, **options)
    assert batched.tokens == run.tokens


def test_a_text_s_bias_is_that_of_its_tokens(tiny: Model) -> None:
    run = tiny.generate("hello", max_tokens=8, logit_bias={"ab": 1000.0, ord("b"): -2000.0})
    assert run.text == "a" * 8
    nothing = tiny.generate("hello", logit_bias=dict.fromkeys(range(tiny.tokenizer.vocab_size), False))
    assert (nothing.text, nothing.finish_reason) == ("", "constraint")
    (batched,) = tiny.generate_batch(
        ["hi"], logit_bias=dict.fromkeys(range(tiny.tokenizer.vocab_size), False)
    )
    assert (batched.text, batched.finish_reason) == ("", "constraint")
    with pytest.raises(ValueError, match="token 100000; this model has"):
        tiny.generate("hello", logit_bias={100000: 1.0})
    session = tiny.new_session()
    session.evaluate("hello")
    with pytest.raises(ValueError, match="token 100000"):
        session.generate("x", logit_bias={100000: 1.0})
    assert session.tokens == list(b"hello")


def test_a_ban_holds_against_what_a_grammar_forces(tiny: Model) -> None:
    pytest.importorskip("llguidance")
    run = tiny.generate("x", grammar=Grammar.lark('start: "abc"'), logit_bias={ord("b"): False})
    assert (run.text, run.finish_reason) == ("a", "constraint")


@pytest.mark.parametrize("lookup", [False, True])
def test_dry_ends_a_loop(tiny: Model, lookup: bool) -> None:
    prompt = list(b"abcabcabcabc")
    loop = {"logit_bias": {"abc": 30.0}, "max_tokens": 12, "lookup": lookup}
    run = tiny.generate(prompt, dry_multiplier=50.0, dry_allowed_length=2, **loop)
    assert run.text is not None
    tokens = prompt + run.tokens
    triples = [tuple(tokens[i : i + 3]) for i in range(len(prompt) - 2, len(tokens) - 2)]
    assert len(set(triples)) > len(set(zip(*[iter(prompt)] * 3, strict=True)))
    free = tiny.generate(prompt, dry_multiplier=50.0, dry_sequence_breakers=list("abc"), **loop)
    assert free.text == tiny.generate(prompt, **loop).text


@pytest.mark.parametrize("num_threads", [1, 2])
def test_the_same_seed_and_threads_are_the_same_text(tiny_gguf: Path, num_threads: int) -> None:
    options = {"temperature": 1.2, "top_p": 0.95, "min_p": 0.01, "seed": 11, "max_tokens": 60}
    options |= {"dry_multiplier": 0.8, "xtc_probability": 0.5, "xtc_threshold": 0.02, "repeat_penalty": 1.1}
    texts = []
    for _ in range(2):
        with load(tiny_gguf, num_threads=num_threads) as model:
            texts += [model.generate("hello", **options).text for _ in range(2)]
    assert len(set(texts)) == 1
    with load(tiny_gguf, num_threads=num_threads) as model:
        others = {model.generate("hello", **{**options, "seed": seed}).text for seed in range(4)}
    assert len(others) > 1


def test_another_number_of_threads_moves_logits_by_rounding_only(tiny_gguf: Path) -> None:
    ids = list(b"the same text on one thread and on two")
    with load(tiny_gguf, num_threads=1) as one, load(tiny_gguf, num_threads=2) as two:
        np.testing.assert_allclose(one.logits(ids), two.logits(ids), atol=0.02)
