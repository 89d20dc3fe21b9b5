"""Sessions that users hold, and those that models keep between calls."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from phonelm.engine import Model, Session, load

PROMPT = "It was a dark"
IDS = [(7 * i) % 250 for i in range(60)]


# Reuse between calls.


def test_a_text_starts_from_what_an_earlier_one_has_evaluated(tiny: Model) -> None:
    first = tiny.generate(IDS, max_tokens=8)
    list(first)
    again = tiny.generate(IDS, max_tokens=8)
    list(again)
    assert (first.reused_tokens, again.reused_tokens) == (0, 58)
    # The same call gives the same text, from scratch or not.
    assert again.tokens == first.tokens
    longer = tiny.generate([*IDS, *first.tokens, 1, 2], max_tokens=4)
    list(longer)
    assert longer.reused_tokens == 60 + 7
    other = tiny.generate([5, *IDS], max_tokens=4)
    list(other)
    assert other.reused_tokens == 0


def test_reuse_gives_what_a_fresh_model_gives(smollm2: Model, smollm2_gguf: Path) -> None:
    opening = "The lighthouse stood on a cliff above the bay, and every evening its keeper, a quiet man,"
    with load(smollm2_gguf, idle_sessions=0) as fresh:
        for end in (" climbed the stairs", " wrote a letter", " climbed the stairs"):
            reusing, alone = (model.generate(opening + end, max_tokens=24) for model in (smollm2, fresh))
            assert "".join(reusing) == "".join(alone)
            assert alone.reused_tokens == 0
    assert reusing.reused_tokens > 16


def test_conversations_that_share_an_opening_keep_their_own(tiny_gguf: Path) -> None:
    """A session that would lose much is copied instead, and its own text finds it whole."""
    with load(tiny_gguf, num_threads=1) as model:
        shared = IDS[:20]
        one, two = shared + [1] * 70, shared + [2] * 50
        for ids, reused in ((one, 0), (two, 20), (one, 88), (two, 68)):
            run = model.generate(ids, max_tokens=2)
            list(run)
            assert run.reused_tokens == reused


def test_only_so_many_sessions_are_kept(tiny_gguf: Path) -> None:
    texts = [[first] * 40 for first in range(1, 4)]
    for idle_sessions, reused in ((0, [0, 0, 0]), (2, [0, 38, 38]), (3, [38, 38, 38])):
        with load(tiny_gguf, num_threads=1, idle_sessions=idle_sessions) as model:
            for ids in texts:
                list(model.generate(ids, max_tokens=1))
            runs = [model.generate(ids, max_tokens=1) for ids in reversed(texts)]
            assert sorted(run.reused_tokens for run in runs) == reused
    with pytest.raises(ValueError, match="idle_sessions is -1"):
        load(tiny_gguf, idle_sessions=-1)


def test_threads_share_the_kept_sessions(tiny_gguf: Path) -> None:
    with load(tiny_gguf, num_threads=2) as model, load(tiny_gguf, num_threads=2, idle_sessions=0) as fresh:
        prompts = [[*IDS[: 20 + index % 3 * 10], index % 5] for index in range(24)]
        expected = ["".join(fresh.generate(ids, max_tokens=6)) for ids in prompts]
        with ThreadPoolExecutor(6) as threads:
            texts = list(threads.map(lambda ids: "".join(model.generate(ids, max_tokens=6)), prompts))
        assert texts == expected


@pytest.mark.parametrize("kv_type", ["f16", "q8_0"])
def test_the_type_of_keys_and_values(tiny_gguf: Path, kv_type: str) -> None:
    with load(tiny_gguf, kv_type=kv_type) as model:
        assert model.new_session().native.kv_type == kv_type
        assert model.generate(IDS, max_tokens=1).finish_reason is None
        assert len(model.loglikelihoods([("a", "b"), ("c", "d")])) == 2


# A user's session.


def test_a_session_goes_on_as_one_text(tiny: Model) -> None:
    whole = tiny.generate(PROMPT, max_tokens=30)
    text = "".join(whole)
    with tiny.new_session() as session:
        pieces = ["".join(session.generate(PROMPT, max_tokens=10))]
        pieces += ["".join(session.generate(max_tokens=10)) for _ in range(2)]
        assert session.tokens == [*tiny.tokenizer.encode_prompt(PROMPT), *whole.tokens]
        assert session.text == PROMPT + text
        assert session.position == len(session.tokens)
    assert "".join(pieces) == text


def test_saved_and_restored(tiny: Model, tiny_gguf: Path, tmp_path: Path) -> None:
    session = tiny.new_session()
    list(session.generate(PROMPT, max_tokens=10))
    session.save(tmp_path / "a.session")
    with load(tiny_gguf, num_threads=1) as other:
        restored = other.restore_session(tmp_path / "a.session")
        assert restored.tokens == session.tokens
        runs = [one.generate(max_tokens=20) for one in (session, restored)]
        assert "".join(runs[0]) == "".join(runs[1])
        assert runs[0].reused_tokens == runs[1].reused_tokens == runs[1].prompt_tokens


def test_forks_and_truncation(tiny: Model) -> None:
    session = tiny.new_session()
    session.evaluate(IDS[:30])
    fork = session.fork()
    texts = ["".join(one.generate([7, 8], max_tokens=5)) for one in (session, fork)]
    assert texts[0] == texts[1]
    session.truncate(30)
    assert session.tokens == IDS[:30]
    assert "".join(session.generate([7, 8], max_tokens=5)) == texts[0]
    session.truncate(12)
    assert len(list(session.generate(max_tokens=3))) <= 3
    assert session.tokens[:12] == IDS[:12]


def test_a_run_that_is_left_ends_when_the_next_begins(tiny: Model) -> None:
    session = tiny.new_session()
    run = session.generate(IDS[:20], max_tokens=50)
    next(run)
    made = list(run.tokens)
    list(session.generate([3], max_tokens=2))
    assert list(run) == []
    assert session.tokens[: 21 + len(made)] == [*IDS[:20], *made, 3]
    # One that never began has still been asked for.
    session.generate([9, 9], max_tokens=5)
    session.evaluate([4])
    assert session.tokens[-3:] == [9, 9, 4]


def test_a_chat_in_a_session(smollm2: Model) -> None:
    turns: list[dict[str, str]] = [{"role": "user", "content": "Name a colour."}]
    with smollm2.new_session(context_length=512) as session:
        turns += [
            {"role": "assistant", "content": "".join(session.chat(turns, max_tokens=12))},
            {"role": "user", "content": "And another one?"},
        ]
        run = session.chat(turns, max_tokens=12)
        assert run.reused_tokens > len(smollm2.chat_ids(turns[:1])) // 2
        assert "".join(run)


def test_wrong_calls_are_refused_in_a_line(tiny: Model, tmp_path: Path) -> None:
    session = tiny.new_session(context_length=16)
    refused: list[tuple[Callable[[], Any], str]] = [
        (lambda: session.generate(""), "the session is empty"),
        (lambda: session.generate([1] * 17), "17 tokens and the context holds 16"),
        (lambda: session.evaluate([1] * 17), "do not fit"),
        (lambda: session.generate([999]), "a token id is 999; give a whole number from 0 to 287"),
        (lambda: tiny.new_session(context_length=97), "1 to 96"),
        (lambda: tiny.new_session(context_length=20, context_overflow="slide"), "too short to slide"),
        (lambda: tiny.new_session(context_overflow="wrap"), "give 'stop' or 'slide'"),  # type: ignore[arg-type]
        (lambda: tiny.new_session(context_overflow="slide", num_sinks=-1), "sinks is -1"),
        (lambda: tiny.generate_batch([PROMPT], batch_size=0), "batch_size is 0"),
        (lambda: tiny.generate_batch([PROMPT, ""]), "prompt is empty"),
    ]
    for call, message in refused:
        with pytest.raises(ValueError, match=message):
            call()
    fresh = tiny.new_session(context_length=16)
    with pytest.raises(ValueError, match="position is -1; give a whole number from 0"):
        fresh.truncate(-1)
    with pytest.raises(FileNotFoundError):
        tiny.restore_session(tmp_path / "absent")
    fresh.close()
    for use in (lambda: fresh.generate("a"), lambda: fresh.save(tmp_path / "b"), lambda: fresh.truncate(0)):
        with pytest.raises(ValueError, match="the session is closed; open another"):
            use()


def test_a_model_closed_under_a_session(tiny_gguf: Path) -> None:
    model = load(tiny_gguf)
    session = model.new_session()
    session.evaluate(IDS)
    model.close()
    # The weights stay for who still uses them.
    assert session.native.position == len(IDS)
    with pytest.raises(ValueError, match="is closed"):
        model.new_session()


# Sliding.


def test_generation_slides_over_a_context(tiny_gguf: Path) -> None:
    with load(tiny_gguf, context_length=48, num_threads=1) as model:
        stops = model.generate(IDS[:20], max_tokens=200)
        slides = model.generate(IDS[:20], max_tokens=200, context_overflow="slide")
        for run in (stops, slides):
            list(run)
        assert (stops.finish_reason, len(stops.tokens)) == ("context", 29)
        assert slides.finish_reason in ("length", "stop")
        assert slides.tokens[:29] == stops.tokens
        if slides.finish_reason == "length":
            assert len(slides.tokens) == 200
        long = model.generate(IDS * 3, max_tokens=4, context_overflow="slide")
        list(long)
        assert long.prompt_tokens == 180
        with pytest.raises(ValueError, match="180 tokens and the context holds 48"):
            model.generate(IDS * 3)


def test_what_has_slid_goes_on_from_its_end(tiny_gguf: Path) -> None:
    with load(tiny_gguf, context_length=48, num_threads=1) as model:
        first = model.generate(IDS, max_tokens=30, context_overflow="slide")
        list(first)
        again = model.generate(IDS, max_tokens=30, context_overflow="slide")
        list(again)
        assert (again.reused_tokens, again.tokens) == (0, first.tokens)
        on = model.generate([*IDS, *first.tokens, 1, 2], max_tokens=2, context_overflow="slide")
        assert on.reused_tokens == 60 + len(first.tokens) - (first.finish_reason == "length")


def test_a_session_of_any_length(tiny: Model) -> None:
    with tiny.new_session(context_length=64, context_overflow="slide", num_sinks=2) as session:
        for _ in range(20):
            list(session.generate([1, 2, 3], max_tokens=20))
        assert session.position > 64
        assert session.native.num_dropped % 16 == 0


# Several at once.


def test_a_batch_equals_each_alone(tiny: Model, tiny_gguf: Path) -> None:
    prompts: list[str | list[int]] = [PROMPT, IDS, "Once", [3], IDS[:20], "x" * 30]
    options: dict[str, Any] = {"max_tokens": 20, "temperature": 0.9, "seed": 5, "stop": ("q",)}
    with load(tiny_gguf, num_threads=1, idle_sessions=0) as fresh:
        for batch_size in (1, 3, 8):
            results = tiny.generate_batch(prompts, batch_size=batch_size, **options)
            for prompt, result in zip(prompts, results, strict=True):
                alone = fresh.generate(prompt, **options)
                assert result.text == "".join(alone)
                assert (result.tokens, result.finish_reason) == (alone.tokens, alone.finish_reason)
                assert result.prompt_tokens == alone.prompt_tokens
    assert tiny.generate_batch([]) == []


def test_a_real_batch_equals_each_alone(smollm2: Model) -> None:
    prompts = ["The capital of France is", "Water boils at", "def add(a, b):", "Once upon a time", "2 + 2 ="]
    results = smollm2.generate_batch(prompts, max_tokens=32)
    assert [result.text for result in results] == [
        "".join(smollm2.generate(prompt, max_tokens=32)) for prompt in prompts
    ]


# Cancelling.


def test_cancelling_ends_a_run_after_its_token(tiny: Model) -> None:
    run = tiny.generate(PROMPT, max_tokens=None)
    next(run)
    made = len(run.tokens)
    run.cancel()
    list(run)
    assert run.finish_reason == "cancelled"
    assert len(run.tokens) <= made + 1
    before = tiny.generate(IDS)
    before.cancel()
    assert list(before) == []
    assert (before.finish_reason, before.tokens) == ("cancelled", [])


def test_another_thread_cancels_a_long_prompt(smollm2_gguf: Path) -> None:
    with load(smollm2_gguf, idle_sessions=0) as model:
        run = model.generate([100 + i % 5000 for i in range(8000)], max_tokens=4)
        thread = threading.Thread(target=lambda: list(run))
        thread.start()
        time.sleep(0.3)
        run.cancel()
        thread.join(timeout=60)
        assert not thread.is_alive()
        assert run.finish_reason == "cancelled"
        assert run.tokens == []
        # A piece of the prompt, not the rest of it.
        assert run._session.position < 8000


def test_a_session_that_generates_elsewhere_is_busy(smollm2: Model) -> None:
    session = smollm2.new_session(context_length=2048)
    run = session.generate("Once upon a time", max_tokens=2000)
    started = threading.Event()

    def consume() -> None:
        for _ in run:
            started.set()

    thread = threading.Thread(target=consume)
    thread.start()
    started.wait(timeout=60)
    busy: list[str] = []
    for _ in range(20):
        try:
            session.evaluate("x")
        except ValueError as error:
            busy.append(str(error))
            break
    run.cancel()
    thread.join(timeout=60)
    assert busy == ["the session generates in another thread; cancel that run first"] or run.finish_reason
    assert isinstance(session, Session)


@pytest.mark.parametrize("number", [2**31, 2**63, 2**70, -(2**31) - 1, 1.5, "7"])
def test_numbers_that_the_core_cannot_hold_are_refused_by_name(
    tiny: Model, tmp_path: Path, number: Any
) -> None:
    session = tiny.new_session()
    session.evaluate(IDS[:4])
    session.save(tmp_path / "a")
    slide = {"context_overflow": "slide"}
    refused: list[tuple[Callable[[], Any], str]] = [
        (lambda: tiny.new_session(**slide, num_sinks=number), "num_sinks is"),
        (lambda: session.truncate(number), "position is"),
        (lambda: session.evaluate([number]), "a token id is"),
        (lambda: session.generate([1, number]), "a token id is"),
        (lambda: tiny.generate([number]), "a token id is"),
        (lambda: tiny.logits([number]), "a token id is"),
        (lambda: tiny.tokenizer.decode([number]), "a token id is"),
        (lambda: tiny.tokenizer.token_bytes(number), "a token id is"),
        (lambda: tiny.new_session(context_length=number), "context length .* 1 to 96"),
        (lambda: tiny.restore_session(tmp_path / "a", context_length=number), "context length .* 1 to 96"),
        (lambda: session.fork(context_length=number), "context length is"),
        (lambda: load(tiny.path, context_length=number), "context length .* 1 to 96"),
        (lambda: load(tiny.path, num_threads=number), "threads is .* 1 to 256"),
    ]
    for call, message in refused:
        with pytest.raises(ValueError, match=message):
            call()


def test_a_text_is_no_list_of_ids(tiny: Model) -> None:
    for text in ("hi", b"hi"):
        for call in (tiny.logits, tiny.tokenizer.decode, tiny.tokenizer.checked_ids):
            with pytest.raises(
                ValueError, match=r"this is a text; give its token ids, tokenizer\.encode_prompt"
            ):
                call(text)  # type: ignore[operator]


def test_objects_say_what_they_are(tiny_gguf: Path) -> None:
    with load(tiny_gguf, num_threads=1) as model, model.new_session() as session:
        session.evaluate([1])
        assert repr(model) == "<Model: model.gguf, context 96>"
        assert repr(session) == "<Session: 1 token>"
        assert repr(model.tokenizer) == "<Tokenizer: 288 tokens>"
    assert repr(model) == "<Model: model.gguf, closed>"
    assert repr(session) == "<Session: 1 token, closed>"


def test_special_tokens_of_a_text_on_request(tiny: Model) -> None:
    text = "a<|endoftext|>"
    for parse_special, count in ((False, 14), (True, 2)):
        session = tiny.new_session()
        session.evaluate(text, parse_special=parse_special)
        assert session.position == count
        run = tiny.new_session().generate(text, parse_special=parse_special, max_tokens=1)
        assert run.prompt_tokens == tiny.generate(text, parse_special=parse_special).prompt_tokens == count
        (batched,) = tiny.generate_batch([text], parse_special=parse_special, max_tokens=1)
        assert batched.prompt_tokens == count
