import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from phonelm.evaluate import kl_divergence, log_softmax


def test_equals_torch() -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    reference, logits = rng.normal(size=(2, 150, 77)).astype(np.float32) * 4
    expected = torch.nn.functional.kl_div(
        torch.log_softmax(torch.tensor(logits).double(), -1),
        torch.log_softmax(torch.tensor(reference).double(), -1),
        reduction="batchmean",
        log_target=True,
    )
    assert kl_divergence(reference, logits) == pytest.approx(float(expected), rel=1e-9)


@given(st.floats(-1e4, 1e4), st.integers(0, 10))
def test_a_shift_of_all_logits_changes_nothing(shift: float, seed: int) -> None:
    logits = np.random.default_rng(seed).normal(size=(3, 20))
    assert kl_divergence(logits, logits + shift) == pytest.approx(0, abs=1e-9)
    assert kl_divergence(logits, logits[:, ::-1]) > 1e-3


def test_huge_logits_stay_finite() -> None:
    assert np.isfinite(log_softmax(np.array([1e30, -1e30, 0.0], np.float32))).all()
    assert kl_divergence(np.array([[1e4, 0.0]]), np.array([[0.0, 0.0]])) == pytest.approx(np.log(2))


def test_bad_input() -> None:
    with pytest.raises(ValueError, match="cannot be compared"):
        kl_divergence(np.zeros((2, 3)), np.zeros((2, 4)))
    with pytest.raises(ValueError, match="cannot be compared"):
        kl_divergence(np.zeros((0, 3)), np.zeros((0, 3)))
    with pytest.raises(ValueError, match="not finite"):
        kl_divergence(np.zeros((1, 2)), np.array([[np.nan, 0]]))
