"""The tiny net: the same numbers as a torch module, one point per task, and kinks where it has them."""

import pytest
import torch
from torch import nn
from torch.nn.functional import mse_loss

from flatmtl_lite.toy import ACTIVATIONS, Method, TinyNet, decompose

MODULES = {"tanh": nn.Tanh, "softplus": nn.Softplus, "ReLU": nn.ReLU}
ALL = pytest.mark.parametrize("activation", ACTIVATIONS)


def as_modules(activation: str) -> nn.Sequential:
    make = MODULES[activation]
    trunk = nn.Sequential(nn.Linear(2, 12), make(), nn.Linear(12, 12), make()).double()
    nn.utils.vector_to_parameters(TinyNet(activation).theta, trunk.parameters())
    return trunk


@ALL
def test_it_is_the_network_it_says(activation):
    net, trunk = TinyNet(activation), as_modules(activation)
    losses = [mse_loss(trunk(net._x) @ net._heads[i], net._y[i]) / 2 for i in range(2)]
    assert torch.allclose(net.losses(net.theta.expand(1, -1)), torch.stack(losses))
    for i, loss in enumerate(losses):
        gradient = torch.cat([g.flatten() for g in torch.autograd.grad(loss, trunk.parameters())])
        assert torch.allclose(net.gradients(net.theta.expand(1, -1))[i], gradient)


@ALL
def test_each_task_reads_its_own_point(activation):
    net = TinyNet(activation)
    generator = torch.Generator().manual_seed(0)
    points = net.theta + torch.randn(5, 2, len(net.theta), generator=generator, dtype=torch.float64)
    for i in range(2):
        alone = points[:, i : i + 1]
        assert torch.allclose(net.losses(alone)[:, i], net.losses(points)[:, i])
        assert torch.allclose(net.gradients(alone)[:, i], net.gradients(points)[:, i])


@ALL
def test_hessian_products_are_slopes_of_the_gradient(activation):
    net, tiny = TinyNet(activation), 1e-6
    generator = torch.Generator().manual_seed(1)
    vectors = torch.randn(2, len(net.theta), generator=generator, dtype=torch.float64)
    ahead, behind = (net.gradients(net.theta + sign * tiny * vectors) for sign in (1, -1))
    slope = (ahead - behind) / (2 * tiny)
    assert torch.allclose(net.hessian_products(net.theta.expand(1, -1), vectors), slope, atol=1e-7)


@ALL
def test_toy_decompose_takes_every_radius_at_once(activation):
    net, rhos = TinyNet(activation), torch.tensor([0.01, 0.3], dtype=torch.float64)
    d = decompose(net, net.theta.expand(2, -1), rhos, Method())
    for k, rho in enumerate(rhos):
        gradient = net.gradients(net.theta.expand(1, -1))
        end = net.theta + rho * gradient / gradient.norm(dim=-1, keepdim=True)
        assert torch.allclose(d.flat[k], net.gradients(end) - gradient)


def test_a_small_step_crosses_no_kink_and_a_large_one_some():
    net = TinyNet("ReLU")
    here = net.sides(net.theta.expand(1, -1))
    assert here.shape == (1, net.pairs)
    assert 0.2 < here.double().mean() < 0.8
    assert (net.sides(net.theta.expand(1, -1) + 1e-6) == here).all()
    assert (net.sides(net.theta.expand(1, -1) + 1.0) != here).any()


def test_an_unknown_activation_is_named():
    with pytest.raises(ValueError, match="Got activation='step'; expected one of 'tanh'"):
        TinyNet("step")
