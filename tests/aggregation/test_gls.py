"""GLS follows the gradient of the geometric mean of the losses, and that is SI's direction."""

import pytest
import torch
import torchjd.scalarization as torchjd

import flatmtl_lite as fm


@pytest.mark.parametrize("T", [1, 2, 5])
def test_the_direction_is_the_gradient_of_the_geometric_mean_up_to_its_length(T, sample):
    A, b = sample("normal", T, 4, batch=2)
    x = b[0].clone().requires_grad_()
    losses = (A @ x) ** 2 + 0.3
    G = torch.stack([torch.autograd.grad(l, x, retain_graph=True)[0] for l in losses])
    geometric_mean = losses.prod() ** (1 / T)
    (slope,) = torch.autograd.grad(geometric_mean, x)
    factor = (geometric_mean * (1 / losses).sum() / T).detach()  # as the docstring says
    torch.testing.assert_close(fm.GLS()(G, losses=losses) * factor, slope, rtol=1e-10, atol=1e-12)


def test_it_is_si(sample):
    G, losses = sample("normal", 4, 6), torch.rand(50, 4, dtype=torch.float64) + 0.1
    assert fm.GLS()(G, losses=losses).equal(fm.SI()(G, losses=losses))


def test_it_agrees_with_torchjd_up_to_the_length():
    for T in (2, 3, 7):
        values = torch.linspace(0.2, 3.0, T, dtype=torch.float64, requires_grad=True)
        torchjd.GeometricMean()(values).backward()
        torch.testing.assert_close(fm.GLS().loss_weights(values), values.grad / values.grad.sum())
