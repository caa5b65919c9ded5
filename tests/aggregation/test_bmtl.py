"""BMTL follows the gradient of Σ exp(l/τ)."""

import math

import pytest
import torch

import flatmtl_lite as fm


def test_it_gives_the_weights_by_hand():
    weights = fm.BMTL(temperature=2.0).loss_weights(torch.tensor([0.0, 2 * math.log(3.0)]))
    assert weights.tolist() == pytest.approx([0.25, 0.75])
    assert fm.BMTL(1.0).loss_weights(torch.tensor([1e6, -1e6])).tolist() == [1, 0]


@pytest.mark.parametrize("temperature", [0.7, 50.0])
@pytest.mark.parametrize("T", [1, 2, 5])
def test_the_direction_is_the_gradient_of_the_sum_of_exponentials(T, temperature, sample):
    A, b = sample("normal", T, 4, batch=2)
    x = b[0].clone().requires_grad_()
    losses = (A @ x) ** 2
    G = torch.stack([torch.autograd.grad(l, x, retain_graph=True)[0] for l in losses])
    h = (losses / temperature).exp()
    transformed = torch.autograd.grad(h.sum(), x)[0]
    expected = transformed / (h / temperature).sum()
    direction = fm.BMTL(temperature)(G, losses=losses)
    torch.testing.assert_close(direction, expected.detach(), rtol=1e-10, atol=1e-12)


def test_the_larger_loss_never_gets_less(sample):
    losses = sample("normal", 4, 5)[..., 0]
    weights = fm.BMTL(1.0).loss_weights(losses)
    assert weights.argsort(-1).equal(losses.argsort(-1))
