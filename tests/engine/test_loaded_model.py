from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from phonelm.engine import Model, load

PROMPT = "It was a dark"
STORY = "Once upon a time, in a small village by the sea,"


def _log_softmax(logits: np.ndarray) -> np.ndarray:
    shifted = logits.astype(np.float64) - logits.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def test_config_describes_the_file(tiny: Model) -> None:
    assert (tiny.config.hidden_size, tiny.config.num_layers, tiny.config.layers[0].mixer.num_kv_heads) == (
        64,
        2,
        2,
    )
    assert tiny.context_length == tiny.config.context_length == 96


def test_logits_are_causal_and_of_the_vocabulary(tiny: Model) -> None:
    ids = tiny.tokenizer.encode(PROMPT)
    logits = tiny.logits(ids)
    assert logits.dtype == np.float32
    assert logits.shape == (len(ids), tiny.tokenizer.vocab_size)
    np.testing.assert_allclose(tiny.logits(ids[:4]), logits[:4], rtol=0, atol=2e-2)


def test_greedy_takes_the_likeliest_token_each_time(tiny: Model) -> None:
    run = tiny.generate(PROMPT, max_tokens=12)
    text = "".join(run)
    assert text == tiny.tokenizer.decode(run.tokens)
    assert (run.finish_reason, len(run.tokens)) == ("length", 12)
    logits = tiny.logits([*tiny.tokenizer.encode(PROMPT), *run.tokens[:-1]])[-12:]
    chosen = logits[np.arange(12), run.tokens]
    assert (chosen >= logits.max(axis=-1) - 2e-2).all()


def test_a_seed_repeats_the_draw(tiny: Model) -> None:
    def draw(seed: int) -> list[int]:
        run = tiny.generate(PROMPT, max_tokens=24, temperature=1.5, seed=seed)
        list(run)
        return run.tokens

    assert draw(1) == draw(1)
    assert len({tuple(draw(seed)) for seed in range(4)}) > 1


def test_generation_ends_when_the_context_is_full(tiny: Model) -> None:
    run = tiny.generate([65] * 90, max_tokens=None)
    list(run)
    assert run.finish_reason == "context"
    # The last token made needs no place in the context.
    assert run.prompt_tokens + len(run.tokens) == tiny.context_length + 1


def test_a_stop_text_ends_the_answer_before_it(tiny: Model) -> None:
    free = tiny.generate(PROMPT, max_tokens=24)
    text = "".join(free)
    stop = text[6:8]
    run = tiny.generate(PROMPT, max_tokens=24, stop=stop)
    assert "".join(run) == text[: text.index(stop)]
    assert run.finish_reason == "stop"
    assert len(run.tokens) < len(free.tokens)


def test_prompts_that_do_not_fit_are_refused_with_the_numbers(tiny: Model, tiny_gguf: Path) -> None:
    with pytest.raises(ValueError, match=r"97 tokens and the context holds 96; shorten it$"):
        tiny.generate([65] * 97)
    with (
        load(tiny_gguf, context_length=16) as short,
        pytest.raises(ValueError, match=r"20 tokens and the context holds 16; .* up to 96"),
    ):
        short.generate([65] * 20)
    with pytest.raises(ValueError, match="1 to 96"):
        load(tiny_gguf, context_length=97)


@pytest.mark.parametrize(("prompt", "message"), [("", "empty"), ([288], "0 to 287"), ([-1, 5], "id is -1")])
def test_prompts_that_are_no_tokens_are_refused(tiny: Model, prompt: str | list[int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tiny.generate(prompt)


def test_loglikelihood_is_the_sum_over_the_logits(tiny: Model) -> None:
    context, continuation = PROMPT, " and stormy"
    before, after = tiny.tokenizer.encode(context), tiny.tokenizer.encode(continuation)
    rows = tiny.logits([*before, *after])[len(before) - 1 : -1]
    expected = _log_softmax(rows)[np.arange(len(after)), after].sum()
    total, greedy = tiny.loglikelihood(context, continuation)
    assert total == pytest.approx(expected, abs=0.05)
    assert greedy == (rows.argmax(axis=-1) == after).all()
    spaced, _ = tiny.loglikelihood(context + " ", "and stormy")
    assert spaced == pytest.approx(total, abs=1e-6)


def test_loglikelihood_knows_what_greedy_says(tiny: Model) -> None:
    run = tiny.generate(PROMPT, max_tokens=3)
    text = "".join(run)
    if tiny.tokenizer.encode(text) != run.tokens:
        pytest.skip("the random weights made bytes that are no text")
    assert tiny.loglikelihood(PROMPT, text)[1]


def test_an_empty_context_starts_at_the_end_token(tiny: Model) -> None:
    ids = tiny.tokenizer.encode("ab")
    rows = _log_softmax(tiny.logits([tiny.tokenizer.bos_id, *ids])[:-1])
    assert tiny.loglikelihood("", "ab")[0] == pytest.approx(rows[np.arange(2), ids].sum(), abs=0.05)


def test_threads_may_share_a_model(tiny: Model) -> None:
    prompts = [PROMPT, "Good morning", "def main():", "1 2 3"]

    def run(prompt: str) -> list[int]:
        generation = tiny.generate(prompt, max_tokens=20)
        list(generation)
        return generation.tokens

    alone = [run(prompt) for prompt in prompts]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(run, prompts)) == alone


def test_a_model_without_template_cannot_chat(tiny: Model) -> None:
    with pytest.raises(ValueError, match="no chat template"):
        tiny.chat([{"role": "user", "content": "hi"}])


def test_a_closed_model_says_so(tiny_gguf: Path) -> None:
    model = load(tiny_gguf)
    model.close()
    with pytest.raises(ValueError, match="is closed"):
        model.logits([1])


def test_a_missing_file_is_not_a_broken_one(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Model(tmp_path / "absent.gguf")
    (tmp_path / "text.gguf").write_text("not a model")
    with pytest.raises(ValueError, match="GGUF"):
        Model(tmp_path / "text.gguf")


def test_real_text_is_deterministic_and_whole(smollm2: Model) -> None:
    first, again = (smollm2.generate(STORY, max_tokens=24) for _ in range(2))
    text = "".join(first)
    assert "".join(again) == text
    assert smollm2.tokenizer.decode(first.tokens) == text
    assert first.decode_tokens_per_s > 0


def test_streamed_pieces_never_split_a_character(smollm2: Model) -> None:
    run = smollm2.generate(
        "Emoji: \U0001f600\U0001f680\U0001f389\U0001f600\U0001f680\U0001f389", max_tokens=24
    )
    assert "\ufffd" not in "".join(list(run)[:-1])


def test_chat_goes_on_where_the_last_turn_ended(smollm2: Model, smollm2_gguf: Path) -> None:
    turns = [{"role": "user", "content": "Name a colour."}]
    opening = smollm2.chat(turns, max_tokens=12)
    turns += [{"role": "assistant", "content": opening}, {"role": "user", "content": "And another one?"}]
    reusing = smollm2.chat(turns, stream=True, max_tokens=12)
    text = "".join(reusing)
    assert reusing.reused_tokens > len(smollm2.chat_ids(turns[:1])) // 2
    with load(smollm2_gguf) as fresh:
        alone = fresh.chat(turns, stream=True, max_tokens=12)
        assert alone.reused_tokens == 0
        assert "".join(alone) == text


def test_a_chat_answer_ends_by_itself(smollm2: Model) -> None:
    run = smollm2.chat([{"role": "user", "content": "Say only: yes"}], stream=True, max_tokens=200)
    text = "".join(run)
    assert run.finish_reason == "stop"
    assert "<|im_end|>" not in text


def test_tools_the_template_ignores_are_refused(smollm2: Model) -> None:
    with pytest.raises(ValueError, match="ignores tools"):
        smollm2.chat([{"role": "user", "content": "hi"}], tools=[{"name": "f"}])
