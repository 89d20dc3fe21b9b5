"""Perplexity against transformers in float32: Hugging Face's own loop, and token by token."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from phonelm.engine import Model
from phonelm.evaluate import Perplexity, Window, measure_perplexity, text_windows
from phonelm.evaluate.perplexity import mean_and_error
from progress_lines import Lines

TEXT = "".join(random.Random(0).choices("some words, 123 numbers and Ä ö 東京", k=300))
BOS = 7


def hugging_face_loop(model: Any, ids: list[int], context: int, stride: int) -> tuple[float, int]:
    """Sum of losses and number of tokens, as in "Perplexity of fixed-length models"."""
    import torch

    total, count, before = 0.0, 0, 0
    for begin in range(0, len(ids), stride):
        end = min(begin + context, len(ids))
        labels = torch.tensor([ids[begin:end]])
        labels[:, : -(end - before)] = -100
        valid = int((labels[:, 1:] != -100).sum())
        if valid:
            with torch.no_grad():
                total += valid * float(model(torch.tensor([ids[begin:end]]), labels=labels).loss)
        count += valid
        before = end
        if end == len(ids):
            break
    return total, count


def token_by_token(model: Any, ids: list[int], context: int, start: list[int]) -> float:
    """Sum of losses, each token behind as many others as a window of `context` tokens has room for."""
    import torch

    total = 0.0
    for place in range(0 if start else 1, len(ids)):
        before = [*start, *ids[max(0, place - context + len(start) + 1) : place]]
        with torch.no_grad():
            logits = model(torch.tensor([before])).logits[0, -1]
        total -= float(torch.log_softmax(logits.double(), -1)[ids[place]])
    return total


@pytest.mark.parametrize(("context", "stride"), [(64, 32), (64, 64), (64, 1), (100, 37), (256, 128)])
def test_equal_to_the_loop_of_hugging_faces_documentation(
    model: Model, checkpoint: tuple[Path, Any], context: int, stride: int
) -> None:
    ids = model.tokenizer.encode(TEXT)
    total, count = hugging_face_loop(checkpoint[1], ids, context, stride)
    found, _ = measure_perplexity(model, text_windows(model.tokenizer, [TEXT], context, stride).windows)
    assert found.num_tokens == count
    assert found.nats_per_token == pytest.approx(total / count, abs=1e-3)
    assert found.perplexity == pytest.approx(math.exp(total / count), rel=1e-3)
    assert found.bits_per_byte == pytest.approx(total / math.log(2) / found.num_bytes, rel=1e-3)


def test_a_stride_of_one_gives_each_token_all_the_context(
    model: Model, bos_model: Model, checkpoint: tuple[Path, Any]
) -> None:
    ids = model.tokenizer.encode(TEXT)[:80]
    for one, start in ((model, []), (bos_model, [BOS])):
        windows = text_windows(one.tokenizer, [TEXT], 24, 1, 80).windows
        found, _ = measure_perplexity(one, windows)
        expected = token_by_token(checkpoint[1], ids, 24, start)
        assert found.num_tokens == 80 - (not start)
        assert found.nats_per_token * found.num_tokens == pytest.approx(expected, abs=1e-3 * 80)


def test_documents_are_apart(bos_model: Model) -> None:
    texts = ["some words", "123 numbers", "words"]
    alone = [measure_perplexity(bos_model, windows_of(bos_model, [text]))[0] for text in texts]
    together, _ = measure_perplexity(bos_model, windows_of(bos_model, texts))
    expected = sum(one.nats_per_token * one.num_tokens for one in alone)
    assert together.nats_per_token * together.num_tokens == pytest.approx(expected, abs=1e-4)
    assert together.num_bytes == sum(len(text.encode()) for text in texts)


def windows_of(model: Model, texts: list[str]) -> list[Window]:
    return text_windows(model.tokenizer, texts, 64, 32).windows


def test_many_short_documents_pass_together(bos_model: Model) -> None:
    """Whatever stands in one call with them."""
    texts = [f"{number} words" for number in range(400)]
    calls = Calls()
    found, seconds = measure_perplexity(bos_model, windows_of(bos_model, texts), calls)
    assert 1 < calls.num_advances < 20
    assert calls.done == calls.total
    assert seconds > 0
    last, _ = measure_perplexity(bos_model, windows_of(bos_model, texts[-1:]))
    assert found.num_windows == 400
    assert last.num_windows == 1


class Calls(Lines):
    """Counts what a bar is told."""

    def __init__(self) -> None:
        super().__init__()
        self.num_advances, self.done, self.total = 0, 0.0, 0.0

    def bar(self, label: str, total: float) -> Any:
        from contextlib import nullcontext

        self.total = total

        def advance(done: float) -> None:
            self.num_advances += 1
            self.done += done

        return nullcontext(advance)


def test_the_error_is_that_of_a_ratio_over_clusters() -> None:
    """Against drawing the clusters anew many times."""
    rng = np.random.default_rng(0)
    counts = rng.integers(200, 600, 40)
    sums = counts * rng.normal(3, 0.5, 40)
    mean, error = mean_and_error(list(sums), counts.tolist())
    assert mean == pytest.approx(sums.sum() / counts.sum())
    drawn = rng.integers(0, 40, (20000, 40))
    again = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    assert error == pytest.approx(again.std(), rel=0.05)


def test_equal_windows_of_one_token_have_the_common_standard_error() -> None:
    values = np.random.default_rng(1).normal(size=50)
    mean, error = mean_and_error(list(values), [1] * 50)
    assert (mean, error) == pytest.approx((values.mean(), values.std(ddof=1) / math.sqrt(50)))


def test_a_single_window_has_no_error() -> None:
    found = Perplexity.of([Window([1, 2, 3], 2, 5)], [math.log(4) * 2])
    assert (found.perplexity, found.perplexity_error) == (pytest.approx(4), None)
    assert found.bits_per_byte == pytest.approx(4 / 5)
    assert json.dumps(found.nats_error) == "null"


def test_bad_input(model: Model) -> None:
    with pytest.raises(ValueError, match="not finite"):
        Perplexity.of([Window([1, 2], 1, 1)], [math.nan])
    with pytest.raises(ValueError, match="shorten it"):
        measure_perplexity(model, [Window([1] * 300, 1, 1)])
    with pytest.raises(ValueError, match="the number of tokens to score is 0"):
        model.score_tokens([([1, 2], 0)])
    with pytest.raises(ValueError, match="the prompt is empty"):
        model.score_tokens([([1], 1)])
