"""Scores of many sequences together against the logits of each alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from test_graph import SHAPES, VOCAB_SIZE, convert, save_checkpoint

from phonelm import _native


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> _native.Model:
    folder = tmp_path_factory.mktemp("scoring")
    save_checkpoint(folder, "llama", max_position_embeddings=1024, initializer_range=0.2, **SHAPES["gqa"])
    return _native.Model.load(str(convert(folder)))


def score_alone(model: _native.Model, tokens: list[int], num_scored: int) -> tuple[float, bool]:
    logits = model.new_session(len(tokens)).prefill_logits(tokens[:-1])[-num_scored:].astype(np.float64)
    targets = np.array(tokens[-num_scored:])
    rows = np.arange(num_scored)
    log_sums = np.log(np.exp(logits - logits.max(axis=1, keepdims=True)).sum(axis=1)) + logits.max(axis=1)
    greedy = bool((logits.argmax(axis=1) == targets).all())
    return float((logits[rows, targets] - log_sums).sum()), greedy


@pytest.mark.parametrize("seed", range(4))
def test_together_equals_alone(model: _native.Model, seed: int) -> None:
    """Lengths around the block of 16 and the chunk of 256 tokens, and some beyond."""
    rng = np.random.default_rng(seed)
    lengths = [2, 3, 16, 17, 18, 33, 255, 256, 257, 258, 600, *rng.integers(2, 90, 40).tolist()]
    sequences = [rng.integers(0, VOCAB_SIZE, length).tolist() for length in rng.permutation(lengths)]
    num_scored = [int(rng.integers(1, len(tokens))) for tokens in sequences]
    scores = model.score(sequences, num_scored)
    for (total, greedy), tokens, count in zip(scores, sequences, num_scored, strict=True):
        expected, expected_greedy = score_alone(model, tokens, count)
        assert total == pytest.approx(expected, abs=2e-3 * count)
        assert greedy == expected_greedy


def _family(rng: np.random.Generator, num_sequences: int) -> list[list[int]]:
    """Sequences that begin as earlier ones do, up to any token: equal, nested, branching inside a block."""
    sequences = [rng.integers(0, VOCAB_SIZE, 5).tolist()]
    for _ in range(num_sequences - 1):
        parent = sequences[rng.integers(len(sequences))]
        kept = parent[: rng.integers(0, len(parent) + 1)]
        sequences.append(
            kept + rng.integers(0, VOCAB_SIZE, rng.integers(0 if len(kept) > 1 else 2, 70)).tolist()
        )
    return [sequences[i] for i in rng.permutation(num_sequences)]


@pytest.mark.parametrize("kv_type", ["f16", "q8_0"])
@pytest.mark.parametrize("seed", range(4))
def test_shared_beginnings_are_evaluated_once_and_change_nothing(
    model: _native.Model, seed: int, kv_type: str
) -> None:
    rng = np.random.default_rng(seed)
    sequences = _family(rng, 60)
    num_scored = [int(rng.integers(1, len(tokens))) for tokens in sequences]
    together = model.score(sequences, num_scored, kv_type=kv_type)
    for (total, greedy), tokens, count in zip(together, sequences, num_scored, strict=True):
        ((expected, expected_greedy),) = model.score([tokens], [count], kv_type=kv_type)
        assert total == pytest.approx(expected, abs=1e-3 * count)
        assert greedy == expected_greedy


def test_more_than_the_cache_holds(tmp_path: Path) -> None:
    """Many questions behind the same examples, in more than one round of the cache's blocks."""
    save_checkpoint(tmp_path, "llama", max_position_embeddings=1024, initializer_range=0.2, **SHAPES["mha"])
    model = _native.Model.load(str(convert(tmp_path)))
    rng = np.random.default_rng(0)
    examples = rng.integers(0, VOCAB_SIZE, 300).tolist()
    questions = [examples + rng.integers(0, VOCAB_SIZE, 30).tolist() for _ in range(150)]
    sequences = [question + rng.integers(0, VOCAB_SIZE, 9).tolist() for question in questions for _ in "abcd"]
    scores = model.score(sequences, [9] * len(sequences))
    for i in rng.integers(0, len(sequences), 40).tolist():
        expected, _ = score_alone(model, sequences[i], 9)
        assert scores[i][0] == pytest.approx(expected, abs=2e-2)


def test_greedy_text_is_greedy(model: _native.Model) -> None:
    start = [5, 6, 7]
    session = model.new_session(64)
    session.prefill(start)
    sampler = _native.Sampler()
    first = session.sample(sampler)
    answer = [first, *session.decode(first, sampler, 9)]
    (_, greedy), (_, other) = model.score([start + answer, [*start, *answer[:-1], answer[-1] ^ 1]], [10, 10])
    assert greedy
    assert not other


def test_one_thread_and_three_give_the_same(model: _native.Model, tmp_path: Path) -> None:
    save_checkpoint(tmp_path, "llama", **SHAPES["mqa"])
    path = str(convert(tmp_path))
    sequences = [np.random.default_rng(i).integers(0, VOCAB_SIZE, 20 + i).tolist() for i in range(30)]
    one, three = (_native.Model.load(path, num_threads=n).score(sequences, [7] * 30) for n in (1, 3))
    np.testing.assert_allclose([total for total, _ in one], [total for total, _ in three], atol=1e-4)


@pytest.mark.parametrize(
    ("sequence", "num_scored", "message"),
    [
        ([1, 2], 2, "score at least one, with one before it"),
        ([1, 2], 0, "score at least one"),
        ([], 1, "score at least one"),
        ([1, VOCAB_SIZE], 1, "is not in the vocabulary"),
        ([1] * 1026, 1, "do not fit into a context of 1024"),
    ],
)
def test_bad_requests(model: _native.Model, sequence: list[int], num_scored: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        model.score([[1, 2, 3], sequence], [1, num_scored])


def test_nothing_to_score(model: _native.Model) -> None:
    assert model.score([], []) == []
