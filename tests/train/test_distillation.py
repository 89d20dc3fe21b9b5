"""The chunked loss of a distilled head against torch's losses."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from phonelm.train import loss as loss_module
from phonelm.train.distillation import distilled_head_loss


@pytest.mark.parametrize("teacher_share", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("rows_a_chunk", [7, 1000])
def test_loss_and_gradients_equal_torchs(
    monkeypatch: pytest.MonkeyPatch, rows_a_chunk: int, teacher_share: float
) -> None:
    monkeypatch.setitem(loss_module.CHUNK_LOGITS, "cpu", rows_a_chunk * 50)
    monkeypatch.setattr(loss_module, "MIN_ROWS", 1)
    torch.manual_seed(0)
    hidden, weight = torch.randn(31, 8, requires_grad=True), torch.randn(50, 8, requires_grad=True)
    taught, teacher = torch.randn(31, 12), torch.randn(50, 12)
    targets, shares = torch.randint(0, 50, (31,)), torch.rand(31)
    targets[::5] = -100
    log_q = (hidden @ weight.T).log_softmax(-1)
    log_p = (taught @ teacher.T).log_softmax(-1)
    of_teacher = functional.kl_div(log_q, log_p, reduction="none", log_target=True).sum(-1)
    own = functional.nll_loss(log_q, targets, reduction="none")
    counted = shares * (targets != -100)
    expected = ((teacher_share * of_teacher + (1 - teacher_share) * own) * counted).sum()
    gradients = torch.autograd.grad(expected * 0.5, (hidden, weight))
    ours = distilled_head_loss(hidden, weight, taught, teacher, targets, teacher_share, shares=shares)
    torch.testing.assert_close(ours, expected)
    torch.testing.assert_close(torch.autograd.grad(ours * 0.5, (hidden, weight)), gradients)


def test_without_gradients_the_loss_is_the_same() -> None:
    torch.manual_seed(0)
    hidden, weight = torch.randn(9, 8), torch.randn(50, 8)
    targets = torch.randint(0, 50, (9,))
    loss = distilled_head_loss(hidden, weight, hidden, weight, targets, 1.0)
    assert float(loss) == pytest.approx(0, abs=1e-5)
