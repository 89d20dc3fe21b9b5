"""Sessions beyond prefill and decode: contexts that slide, forks, several sequences in a pass."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_graph import SHAPES, convert, random_ids, save_checkpoint, torch_logits
from test_real_model import english_tokens

from phonelm import _native

KV_TYPES = ["f16", "q8_0"]


def some_tokens(count: int, seed: int = 1) -> list[int]:
    """Of the tiny model's vocabulary."""
    return [token % 288 for token in random_ids(seed, count)]


def greedy(session: Any, prompt: list[int], count: int) -> list[int]:
    sampler = _native.Sampler()
    session.prefill(prompt)
    first = session.sample(sampler)
    return [first, *session.decode(first, sampler, count - 1)]


@pytest.fixture(scope="module")
def model(smollm2_gguf: Path) -> Any:
    return _native.Model.load(str(smollm2_gguf))


@pytest.fixture
def tiny(tiny_gguf: Path) -> Any:
    return _native.Model.load(str(tiny_gguf), num_threads=2)


# Sliding.


def expected_window(length: int, context: int, num_sinks: int) -> list[int]:
    """Which tokens are left when the last of `length` is evaluated, one after the other."""
    kept: list[int] = []
    dropped = max((context - num_sinks) // 4 // 16, 1) * 16
    for index in range(length):
        if len(kept) == context:
            del kept[num_sinks : num_sinks + dropped]
        kept.append(index)
    return kept


@pytest.mark.parametrize("kind", ["llama", "phonelm", "qwen3"])
@pytest.mark.parametrize(("context", "num_sinks"), [(48, 4), (64, 0), (60, 16), (100, 21)])
def test_one_layer_that_slides_sees_sinks_and_the_most_recent(
    tmp_path: Path, kind: str, context: int, num_sinks: int
) -> None:
    """With one layer, keys depend on nothing but their token: torch sees the tokens that are left alone."""
    table = {"rope_table": "float"} if kind == "phonelm" else {}
    reference = save_checkpoint(tmp_path, kind, num_hidden_layers=1, **SHAPES["gqa"], **table)
    model = _native.Model.load(str(convert(tmp_path)))
    ids = random_ids(count=400)
    session = model.new_session(context, num_sinks=num_sinks)
    session.prefill(ids[:170])
    for token in ids[170:]:
        session.prefill([token])
    kept = expected_window(len(ids), context, num_sinks)
    assert session.position - session.num_dropped == len(kept)
    expected = torch_logits(reference, [ids[index] for index in kept])[-1]
    np.testing.assert_allclose(session.logits(), expected, atol=1e-3)


def test_sinks_move_with_the_int8_table_and_with_q8_0(tmp_path: Path) -> None:
    """Sinks are rotated anew from what they were: as if evaluated at the place that they have now."""
    reference = save_checkpoint(
        tmp_path, "phonelm", num_hidden_layers=1, hidden_act="relu", rope_table="int8", **SHAPES["mha"]
    )
    model = _native.Model.load(str(convert(tmp_path)))
    ids = random_ids(count=240)
    window = [ids[index] for index in expected_window(len(ids), 64, 4)]
    for kv_type in KV_TYPES:
        session = model.new_session(64, kv_type=kv_type, num_sinks=4)
        session.prefill(ids)
        # The table is rounded at each absolute position: distances are only kept within its step.
        np.testing.assert_allclose(session.logits(), torch_logits(reference, window)[-1], atol=0.03)


@pytest.mark.parametrize("kv_type", KV_TYPES)
def test_chunks_do_not_change_what_slides(tiny: Any, kv_type: str) -> None:
    ids = some_tokens(500)
    together, apart = (tiny.new_session(64, kv_type=kv_type, num_sinks=4) for _ in range(2))
    together.prefill(ids)
    for begin in range(0, len(ids), 37):
        apart.prefill(ids[begin : begin + 37])
    assert (together.num_dropped, together.position) == (apart.num_dropped, apart.position) == (448, 500)
    assert together.tokens == apart.tokens == ids
    np.testing.assert_allclose(together.logits(), apart.logits(), atol=0.05)


def test_truncation_ends_where_the_context_has_slid_past(tiny: Any) -> None:
    session = tiny.new_session(64, num_sinks=4)
    session.prefill(some_tokens(100))
    least = session.num_dropped + 4
    session.truncate(least)
    for position in (least - 1, 0, -1, least + 1):
        with pytest.raises(ValueError, match=f"^cannot go back to position {position} from {least}: .* slid"):
            session.truncate(position)
    session.prefill([1])
    assert session.position == least + 1


@pytest.mark.parametrize(
    ("context", "num_sinks", "message"),
    [
        (35, 4, "35 tokens is too short to slide; take 36 or more"),
        (64, -1, "sinks is -1; take 0 to 1024"),
        (64, 2000, "sinks is 2000"),
    ],
)
def test_contexts_that_cannot_slide_are_refused(
    tiny: Any, context: int, num_sinks: int, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        tiny.new_session(context, num_sinks=num_sinks)


def losses(logits: np.ndarray, ids: list[int]) -> np.ndarray:
    wide = torch.from_numpy(np.ascontiguousarray(logits[:-1]))
    return torch.nn.functional.cross_entropy(wide, torch.tensor(ids[1:]), reduction="none").numpy()


@pytest.mark.slow
@pytest.mark.parametrize("kv_type", KV_TYPES)
def test_loss_beyond_the_context(model: Any, kv_type: str) -> None:
    """1,000 tokens through a context of 128, against windows that are evaluated anew for each 16 tokens."""
    ids = english_tokens(model, 1000)
    sliding = losses(model.new_session(128, kv_type=kv_type, num_sinks=4).prefill_logits(ids), ids)[200:]
    fresh = []
    for begin in range(200, 999, 16):
        window = ids[begin - 96 : begin + 17]
        fresh.extend(losses(model.new_session(128, kv_type=kv_type).prefill_logits(window), window)[96:])
    assert sliding.mean() == pytest.approx(np.mean(fresh[: len(sliding)]), abs=0.15)
    without = losses(model.new_session(128, kv_type=kv_type, num_sinks=0).prefill_logits(ids), ids)[200:]
    assert without.mean() > sliding.mean()


# Forks.


@pytest.mark.parametrize("kv_type", KV_TYPES)
def test_a_fork_goes_its_own_way(tiny: Any, kv_type: str) -> None:
    ids = some_tokens(40)
    session = tiny.new_session(64, kv_type=kv_type)
    session.prefill(ids)
    logits = session.logits()
    fork = session.fork(40, 96)
    assert (fork.tokens, fork.context_length, fork.kv_type) == (ids, 96, kv_type)
    assert np.array_equal(fork.logits(), logits)
    shorter = session.fork(17, 64)
    assert not shorter.logits_are_current
    shorter.prefill(ids[17:])
    np.testing.assert_allclose(shorter.logits(), logits, atol=0.05)
    fork.prefill([1, 2, 3])
    assert session.tokens == ids
    for num_tokens, context in ((41, 96), (-1, 96), (40, 39), (40, 0)):
        with pytest.raises(ValueError, match=r"tokens|context"):
            session.fork(num_tokens, context)


# Batches.


@pytest.mark.parametrize("kv_type", KV_TYPES)
@settings(max_examples=15, deadline=None)
@given(lengths=st.lists(st.integers(1, 60), min_size=1, max_size=9), seed=st.integers(0, 99))
def test_a_step_of_several_equals_each_alone(
    tiny_gguf: Path, kv_type: str, lengths: list[int], seed: int
) -> None:
    tiny = _native.Model.load(str(tiny_gguf), num_threads=2)
    together = [tiny.new_session(96, kv_type=kv_type) for _ in lengths]
    alone = [tiny.new_session(96, kv_type=kv_type) for _ in lengths]
    for index, length in enumerate(lengths):
        together[index].prefill(some_tokens(length, seed + index))
        alone[index].prefill(some_tokens(length, seed + index))
    for token in some_tokens(5, seed):
        _native.evaluate_batch(together, [[token]] * len(lengths))
        for one, other in zip(together, alone, strict=True):
            other.prefill([token])
            assert one.position == other.position
            np.testing.assert_allclose(one.logits(), other.logits(), atol=2e-3)


def test_runs_of_any_length_together(tiny: Any) -> None:
    prompts = [some_tokens(5 + 30 * seed, seed) for seed in range(4)]
    sessions = [tiny.new_session(64, num_sinks=4) for _ in prompts]
    _native.evaluate_batch(sessions, prompts)
    for session, prompt in zip(sessions, prompts, strict=True):
        alone = tiny.new_session(64, num_sinks=4)
        alone.prefill(prompt)
        assert session.tokens == prompt
        np.testing.assert_allclose(session.logits(), alone.logits(), atol=0.05)


def test_greedy_text_of_several_equals_each_alone(model: Any) -> None:
    texts = ["The capital of France is", "Water boils at", "def fibonacci(n):", "Once upon a time"]
    prompts = [model.tokenizer.encode(text) for text in texts]
    expected = [greedy(model.new_session(256), prompt, 48) for prompt in prompts]
    sessions = [model.new_session(256) for _ in prompts]
    samplers = [_native.Sampler() for _ in prompts]
    for session, prompt in zip(sessions, prompts, strict=True):
        session.prefill(prompt)
    tokens = [session.sample(sampler) for session, sampler in zip(sessions, samplers, strict=True)]
    made = [[token] for token in tokens]
    for _ in range(47):
        tokens = _native.step_batch(sessions, tokens, samplers)
        for one, token in zip(made, tokens, strict=True):
            one.append(token)
    assert made == expected


def test_several_under_masks_draw_what_each_draws_alone(tiny: Any) -> None:
    rng = np.random.default_rng(5)
    prompts = [some_tokens(count, seed=count) for count in (3, 9, 17)]
    allowed = rng.random((12, len(prompts), 288)) < 0.05
    masks = np.packbits(allowed, axis=-1, bitorder="little").view(np.uint32)

    def prepared() -> tuple[list[Any], list[Any]]:
        sessions = [tiny.new_session(64) for _ in prompts]
        for session, prompt in zip(sessions, prompts, strict=True):
            session.prefill(prompt[:-1])
        return sessions, [_native.Sampler(temperature=1.0, seed=seed) for seed in range(len(prompts))]

    sessions, samplers = prepared()
    expected = []
    for index, prompt in enumerate(prompts):
        tokens = [prompt[-1]]
        for step in masks:
            tokens.append(sessions[index].step([tokens[-1]], samplers[index], step[index]))
        expected.append(tokens)
    sessions, samplers = prepared()
    made = [[prompt[-1]] for prompt in prompts]
    for step in masks:
        drawn = _native.step_batch(sessions, [tokens[-1] for tokens in made], samplers, list(step))
        for tokens, token in zip(made, drawn, strict=True):
            tokens.append(token)
    assert made == expected
    for index, tokens in enumerate(made):
        assert all(allowed[step, index, token] for step, token in enumerate(tokens[1:]))
    greedy_alone = sessions[0].fork(sessions[0].position, 64)
    mixed = _native.step_batch(sessions, [1, 1, 1], [_native.Sampler()] * 3, [None, masks[0, 1], None])
    assert mixed[0] == greedy_alone.step([1], _native.Sampler())
    assert allowed[0, 1, mixed[1]]


def test_batches_that_make_no_sense_are_refused_and_change_nothing(tiny: Any, tiny_gguf: Path) -> None:
    one, two = tiny.new_session(16), tiny.new_session(16)
    other = _native.Model.load(str(tiny_gguf)).new_session(16)
    refused: list[tuple[Any, Any, str]] = [
        ([one, one], [[1], [2]], "twice"),
        ([one, other], [[1], [2]], "different models"),
        ([one, two], [[1]], "2 sessions and tokens for 1"),
        ([one, two], [[1], []], "no tokens"),
        ([one, two], [[1], [999]], "not in the vocab"),
        ([one, two], [[1], [1] * 17], "do not fit"),
    ]
    for sessions, tokens, message in refused:
        with pytest.raises(ValueError, match=message):
            _native.evaluate_batch(sessions, tokens)
    assert one.position == two.position == 0
    _native.evaluate_batch([], [])
    with pytest.raises(ValueError, match="a sampler for each"):
        _native.step_batch([one], [1], [])
    with pytest.raises(ValueError, match="a mask or None for each"):
        _native.step_batch([one], [1], [_native.Sampler()], [None, None])
    assert one.position == 0
    with pytest.raises(ValueError, match="no logits"):
        one.sample(_native.Sampler())


# Threads.


def test_no_caller_waits_for_ever(tiny_gguf: Path) -> None:
    """Long native loops and single steps take turns: the thread team serves them in the order they come."""
    model = _native.Model.load(str(tiny_gguf), num_threads=2)
    turns = {}
    stop = threading.Event()

    def run(name: str, num_tokens: int) -> None:
        session, sampler = model.new_session(96), _native.Sampler()
        while not stop.is_set():
            session.truncate(0)
            session.decode(1, sampler, num_tokens)
            turns[name] = turns.get(name, 0) + num_tokens

    threads = [
        threading.Thread(target=run, args=(name, count)) for name, count in (("a", 90), ("b", 1), ("c", 7))
    ]
    for thread in threads:
        thread.start()
    time.sleep(1.5)
    stop.set()
    for thread in threads:
        thread.join(timeout=60)
        assert not thread.is_alive()
    assert min(turns.values()) > max(turns.values()) / 50


def test_numbers_can_be_read_while_another_thread_evaluates(model: Any) -> None:
    session = model.new_session(1024)
    ids = english_tokens(model, 1000)
    thread = threading.Thread(target=session.prefill, args=(ids,))
    thread.start()
    counted = 0
    while thread.is_alive():
        counted += 1
        time.sleep(0.001)
    # With the interpreter's lock held by the prefill, this thread would get one turn, or two.
    assert counted > 5
    assert session.position == len(ids)
