"""The chunked head loss against torch's cross entropy."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from phonelm.train import loss as loss_module
from phonelm.train.loss import head_loss


@pytest.mark.parametrize("rows_a_chunk", [1, 7, 1000])
def test_loss_and_gradients_equal_cross_entropy(monkeypatch: pytest.MonkeyPatch, rows_a_chunk: int) -> None:
    monkeypatch.setitem(loss_module.CHUNK_LOGITS, "cpu", rows_a_chunk * 50)
    monkeypatch.setattr(loss_module, "MIN_ROWS", 1)
    torch.manual_seed(0)
    hidden, weight = torch.randn(31, 8, requires_grad=True), torch.randn(50, 8, requires_grad=True)
    targets = torch.randint(0, 50, (31,))
    targets[::5] = -100
    expected = functional.cross_entropy(hidden @ weight.T, targets, reduction="sum")
    gradients = torch.autograd.grad(expected * 0.5, (hidden, weight))
    ours = head_loss(hidden, weight, targets)
    torch.testing.assert_close(ours, expected)
    torch.testing.assert_close(torch.autograd.grad(ours * 0.5, (hidden, weight)), gradients)


def test_targets_count_by_their_shares() -> None:
    torch.manual_seed(0)
    hidden, weight = torch.randn(31, 8, requires_grad=True), torch.randn(50, 8, requires_grad=True)
    targets, shares = torch.randint(0, 50, (31,)), torch.rand(31)
    targets[::5] = -100
    each = functional.cross_entropy(hidden @ weight.T, targets, reduction="none")
    expected = (each * shares).sum()
    gradients = torch.autograd.grad(expected, (hidden, weight))
    ours = head_loss(hidden, weight, targets, shares=shares)
    torch.testing.assert_close(ours, expected)
    torch.testing.assert_close(torch.autograd.grad(ours, (hidden, weight)), gradients)


def test_bfloat16_stays_near_float32() -> None:
    torch.manual_seed(0)
    hidden, weight = torch.randn(64, 16, requires_grad=True), torch.randn(90, 16, requires_grad=True) * 0.3
    targets = torch.randint(0, 90, (64,))
    exact, rough = head_loss(hidden, weight, targets), head_loss(hidden, weight, targets, torch.bfloat16)
    assert abs(float((rough / exact).detach()) - 1) < 5e-3
    exact_grad, rough_grad = (torch.autograd.grad(loss, hidden)[0] for loss in (exact, rough))
    assert float((exact_grad - rough_grad).norm() / exact_grad.norm()) < 0.02


def test_without_gradients_nothing_is_kept() -> None:
    hidden, weight = torch.randn(5, 8), torch.randn(50, 8)
    loss = head_loss(hidden, weight, torch.arange(5))
    assert not loss.requires_grad
    torch.testing.assert_close(
        loss, functional.cross_entropy(hidden @ weight.T, torch.arange(5), reduction="sum")
    )
