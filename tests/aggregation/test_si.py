"""SI follows the gradient of Σ log l."""

import pytest
import torch

import flatmtl_lite as fm


def test_it_gives_the_weights_by_hand():
    weights = fm.SI().loss_weights(torch.tensor([1.0, 2.0, 4.0]))
    assert weights.tolist() == pytest.approx([4 / 7, 2 / 7, 1 / 7])
    far_apart = fm.SI().loss_weights(torch.tensor([1e-300, 1.0], dtype=torch.float64))
    assert far_apart.tolist() == pytest.approx([1, 1e-300])


@pytest.mark.parametrize("T", [1, 2, 5])
def test_the_direction_is_the_gradient_of_the_sum_of_logarithms(T, sample):
    A, b = sample("normal", T, 4, batch=2)
    x = b[0].clone().requires_grad_()
    losses = (A @ x) ** 2 + 0.3
    G = torch.stack([torch.autograd.grad(l, x, retain_graph=True)[0] for l in losses])
    of_logarithms = torch.autograd.grad(losses.log().sum(), x)[0]
    expected = of_logarithms / (1 / losses).sum()
    torch.testing.assert_close(fm.SI()(G, losses=losses), expected.detach(), rtol=1e-10, atol=1e-12)


def test_units_of_a_loss_change_the_length_only(sample):
    G = sample("normal", 3, 6, batch=1)[0]
    losses, units = torch.tensor([1.0, 2.0, 3.0]).double(), torch.tensor([1.0, 1e4, 1e-3]).double()
    one, other = fm.SI()(G, losses=losses), fm.SI()(G * units.unsqueeze(-1), losses=losses * units)
    assert torch.cosine_similarity(one, other, dim=0).item() == pytest.approx(1)
