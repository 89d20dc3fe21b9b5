"""Warm-up, stable, decay."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from phonelm.train import TrainConfig
from phonelm.train.schedule import learning_rate


@given(st.integers(0, 20), st.integers(1, 20), st.integers(0, 20), st.floats(0, 1))
def test_rises_stays_and_falls(warmup: int, stable: int, decay: int, final: float) -> None:
    config = TrainConfig(
        steps=warmup + stable + decay,
        warmup_steps=warmup,
        decay_steps=decay,
        learning_rate=2.0,
        final_learning_rate=final,
    )
    rates = [learning_rate(config, step) for step in range(config.steps)]
    assert rates[:warmup] == sorted(rates[:warmup])
    assert all(rate == 2.0 for rate in rates[warmup : warmup + stable])
    assert rates[warmup + stable :] == sorted(rates[warmup + stable :], reverse=True)
    assert all(0 < rate <= 2.0 for rate in rates[: warmup + stable])
    if decay:
        assert rates[-1] == pytest.approx(2.0 * final)


@given(st.integers(0, 9), st.integers(1, 40), st.floats(0, 1))
def test_half_a_cosine_equals_torchs(warmup: int, decay: int, final: float) -> None:
    config = TrainConfig(
        steps=warmup + decay,
        warmup_steps=warmup,
        decay_steps=decay,
        decay_shape="cosine",
        learning_rate=2.0,
        final_learning_rate=final,
    )
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=2.0)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, decay, eta_min=2.0 * final)
    for step in range(warmup, config.steps):
        optimizer.step()
        schedule.step()
        assert learning_rate(config, step) == pytest.approx(schedule.get_last_lr()[0], abs=1e-6)


def test_phases_longer_than_the_run_are_refused() -> None:
    with pytest.raises(ValidationError, match="exceed steps"):
        TrainConfig(steps=5, warmup_steps=3, decay_steps=3)


def test_uneven_micro_batches_are_refused() -> None:
    with pytest.raises(ValidationError, match="multiple"):
        TrainConfig(steps=5, batch_size=8, micro_batch_size=3)
