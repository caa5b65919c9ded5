"""IMTL-L has the weights and the slope of its objective by autograd, and settles where theory says."""

import pytest
import torch
import torchjd.scalarization as torchjd

import flatmtl_lite as fm

LOSSES = torch.tensor([0.5, 2.0, 1.0], dtype=torch.float64)


def with_s(*values):
    A = fm.IMTLL(tasks=len(values)).double()
    A.s.data = torch.tensor(values, dtype=torch.float64)
    return A


@pytest.mark.parametrize("s", [(0.0, 0.0, 0.0), (0.3, -1.2, 2.0), (30.0, 0.0, -30.0)])
def test_the_weights_and_the_slope_belong_to_the_objective(s):
    """Its derivative with respect to the losses, normalised, and with respect to s."""
    A = with_s(*s)
    losses, scale = LOSSES.clone().requires_grad_(), A.s.detach().clone().requires_grad_()
    objective = (torch.exp(scale) * losses - scale).sum()
    by_losses, by_s = torch.autograd.grad(objective, [losses, scale])
    torch.testing.assert_close(A.loss_weights(LOSSES), by_losses / by_losses.sum(), rtol=1e-10, atol=0)
    A.learn()
    torch.testing.assert_close(A.s.grad, by_s, rtol=1e-10, atol=1e-12)

    peer = torchjd.IMTLL(3).double()
    peer.log_scale.data = torch.tensor(s, dtype=torch.float64)
    peer(LOSSES).backward()
    torch.testing.assert_close(A.s.grad, peer.log_scale.grad)


def test_it_gives_the_weights_and_the_slope_by_hand():
    A = with_s(0.0, torch.tensor(3.0).log().item())
    assert A.loss_weights(torch.tensor([1.0, 6.0])).tolist() == pytest.approx([0.25, 0.75])
    A.learn()
    assert A.s.grad.tolist() == pytest.approx([0.0, 17.0])


def test_for_fixed_losses_all_scaled_losses_become_the_same():
    A = fm.IMTLL(tasks=3)
    optimizer = torch.optim.SGD(A.parameters(), lr=0.2)
    for _ in range(300):
        weights = A.loss_weights(LOSSES)
        A.learn()
        optimizer.step()
    torch.testing.assert_close(A.s.double(), -LOSSES.log(), rtol=0, atol=1e-4)
    scaled = weights * LOSSES
    assert (scaled / scaled.mean()).tolist() == pytest.approx([1] * 3, abs=1e-4)
