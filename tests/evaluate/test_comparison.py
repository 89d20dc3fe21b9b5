"""Comparisons against float64 on the same logits, and against transformers in float32."""

from __future__ import annotations

import copy
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from phonelm.engine import Model, load
from phonelm.evaluate import (
    Comparison,
    Window,
    check_vocabularies,
    compare,
    comparison,
    log_softmax,
    measure_perplexity,
    measure_speeds,
    text_windows,
)

TEXT = "some words, 123 numbers and Ä ö 東京 " * 12


def windows_of(model: Model) -> list[Window]:
    return text_windows(model.tokenizer, [TEXT], 96, 40).windows


def expected_rows(
    reference: np.ndarray, logits: np.ndarray, targets: list[int]
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Divergence, agreement and both costs of each row, in float64."""
    first, second = log_softmax(reference), log_softmax(logits)
    rows = np.arange(len(targets))
    divergence = (np.exp(first) * (first - second)).sum(axis=1)
    same = first.argmax(axis=1) == second.argmax(axis=1)
    return divergence, same, -first[rows, targets], -second[rows, targets]


@pytest.mark.parametrize("spread", [0.1, 4.0, 30.0])
@pytest.mark.parametrize("noise", [0.0, 1e-3, 1.0])
def test_rows_equal_float64(model: Model, spread: float, noise: float) -> None:
    rng = np.random.default_rng(0)
    width = model.config.vocab_size
    reference = rng.normal(size=(37, width)).astype(np.float32) * np.float32(spread)
    logits = reference + rng.normal(size=reference.shape).astype(np.float32) * np.float32(noise)
    targets = rng.integers(0, width, 37).tolist()
    found = np.array(model.native.compare_rows(reference, logits, targets), np.float64).T
    expected = expected_rows(reference, logits, targets)
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-5, atol=2e-6)
    np.testing.assert_array_equal(found[1], expected[1])
    np.testing.assert_allclose(found[2:], expected[2:], rtol=1e-6, atol=2e-6)


def test_a_shift_of_all_logits_changes_nothing(model: Model) -> None:
    logits = np.random.default_rng(1).normal(size=(5, model.config.vocab_size)).astype(np.float32)
    ((divergence, same, reference_nats, nats),) = {
        tuple(np.round(row, 5)) for row in model.native.compare_rows(logits[:1], logits[:1] + 64, [3])
    }
    assert divergence == pytest.approx(0, abs=1e-5)
    assert same
    assert reference_nats == pytest.approx(nats, abs=1e-5)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", [0, 1])
def test_logits_that_are_not_finite_are_refused(model: Model, value: float, place: int) -> None:
    pair = np.zeros((2, 2, model.config.vocab_size), np.float32)
    pair[place, 1, 5] = value
    with pytest.raises(ValueError, match="not finite"):
        model.native.compare_rows(pair[0], pair[1], [1, 2])


def test_rows_of_another_shape_are_refused(model: Model) -> None:
    width = model.config.vocab_size
    good = np.zeros((2, width), np.float32)
    for bad in (good[:1], good[:, :-1], np.zeros((2, 2 * width), np.float32)[:, ::2], good[::-1]):
        with pytest.raises(ValueError, match=f"logits must be 2 rows of {width}"):
            model.native.compare_rows(good, bad, [1, 2])
    with pytest.raises(ValueError, match="is not in the vocabulary"):
        model.native.compare_rows(good, good, [1, width])
    assert model.native.compare_rows(good[:0], good[:0], []) == []


def test_a_model_is_equal_to_itself(model: Model, f32_gguf: Path) -> None:
    with load(f32_gguf, num_threads=1) as other:
        for one in (model, other):
            found = compare(model, one, windows_of(model))
            assert found.kl_mean == found.kl_max == pytest.approx(0, abs=1e-6)
            assert found.top1_agreement == 1
            assert found.perplexity_ratio == pytest.approx(1, abs=1e-6)
            assert found.probability_difference == pytest.approx(0, abs=1e-6)


@pytest.fixture
def found(model: Model, q4_model: Model) -> Comparison:
    return compare(model, q4_model, windows_of(model))


def test_equal_to_the_same_figures_of_all_logits(model: Model, q4_model: Model, found: Comparison) -> None:
    parts = []
    for window in windows_of(model):
        logits = [one.logits(window.tokens[:-1])[-window.num_scored :] for one in (model, q4_model)]
        parts.append(expected_rows(*logits, window.tokens[-window.num_scored :]))
    divergence, same, reference_nats, nats = (np.concatenate(part) for part in zip(*parts, strict=True))
    check(found, divergence, same, reference_nats, nats, 2e-3)


def test_equal_to_transformers(checkpoint: tuple[Path, Any], model: Model, tmp_path: Path) -> None:
    """A model and one whose weights were moved a little."""
    torch = pytest.importorskip("torch")
    from test_graph import convert, torch_logits

    folder, reference = checkpoint
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    moved = copy.deepcopy(reference)
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in moved.parameters():
            parameter += 0.02 * torch.randn_like(parameter)
    moved.save_pretrained(tmp_path)
    windows = windows_of(model)
    with load(convert(tmp_path)) as other:
        found = compare(model, other, windows)
    parts = []
    for window in windows:
        logits = [torch_logits(one, window.tokens[:-1])[-window.num_scored :] for one in (reference, moved)]
        parts.append(expected_rows(*logits, window.tokens[-window.num_scored :]))
    check(found, *(np.concatenate(part) for part in zip(*parts, strict=True)), tolerance=2e-3)
    assert found.kl_mean > 0.01


def test_perplexities_are_those_of_the_scorer(model: Model, q4_model: Model, found: Comparison) -> None:
    for one, figure in ((model, found.reference), (q4_model, found.model)):
        scored, _ = measure_perplexity(one, windows_of(model))
        assert figure.nats_per_token == pytest.approx(scored.nats_per_token, abs=2e-3)
        assert (figure.num_tokens, figure.num_bytes) == (scored.num_tokens, scored.num_bytes)


def test_few_logits_at_a_time_give_the_same(
    model: Model, q4_model: Model, found: Comparison, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(comparison, "_MOST_LOGITS", 1)
    again = compare(model, q4_model, windows_of(model))
    assert again.kl_mean == pytest.approx(found.kl_mean, rel=5e-3)
    assert again.reference.nats_per_token == pytest.approx(found.reference.nats_per_token, abs=1e-3)


def test_a_single_window_has_no_errors(model: Model, q4_model: Model) -> None:
    found = compare(model, q4_model, windows_of(model)[:1])
    assert found.kl_error is found.perplexity_ratio_error is found.model.nats_error is None


def test_different_vocabularies_are_refused(model: Model, tiny_gguf: Path, bos_gguf: Path) -> None:
    with (
        load(tiny_gguf) as other,
        pytest.raises(ValueError, match=r"a vocabulary of 288 tokens, f32\.gguf of"),
    ):
        compare(model, other, windows_of(model))
    with load(bos_gguf) as same:
        check_vocabularies(model, same)


def test_other_tokens_of_the_same_number_are_refused(model: Model, q4_model: Model) -> None:
    class Renamed:
        vocab_size = model.tokenizer.vocab_size

        def token_bytes(self, token: int, with_special: bool) -> bytes:
            return b"other" if token == 9 else model.tokenizer.token_bytes(token, with_special)

    q4_model.tokenizer = Renamed()  # type: ignore[assignment]
    with pytest.raises(ValueError, match=r"different vocabularies \(token 9 is .* and b'other'\)"):
        check_vocabularies(model, q4_model)


def test_speeds_are_of_both(model: Model, q4_model: Model) -> None:
    speeds = measure_speeds([model, q4_model], windows_of(model)[0].tokens)
    assert all(speed.prefill_tok_s > 0 and speed.decode_tok_s > 0 for speed in speeds)
    assert [speed.prompt_tokens for speed in speeds] == [96, 96]


def check(
    found: Comparison,
    divergence: np.ndarray,
    same: np.ndarray,
    reference_nats: np.ndarray,
    nats: np.ndarray,
    tolerance: float,
) -> None:
    assert found.kl_mean == pytest.approx(divergence.mean(), rel=tolerance)
    assert found.kl_median == pytest.approx(np.median(divergence), rel=tolerance)
    assert found.kl_p99 == pytest.approx(np.percentile(divergence, 99), rel=2 * tolerance)
    assert found.kl_max == pytest.approx(divergence.max(), rel=2 * tolerance)
    assert found.top1_agreement == pytest.approx(same.mean(), abs=2 / len(same))
    difference = np.abs(np.exp(-nats) - np.exp(-reference_nats)).mean()
    assert found.probability_difference == pytest.approx(difference, rel=tolerance)
    assert found.reference.nats_per_token == pytest.approx(reference_nats.mean(), abs=tolerance)
    assert found.model.nats_per_token == pytest.approx(nats.mean(), abs=tolerance)
    assert found.perplexity_ratio == pytest.approx(np.exp((nats - reference_nats).mean()), rel=tolerance)
