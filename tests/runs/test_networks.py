"""Networks: sizes, shapes, and that a trunk and its heads divide the parameters."""

import pytest
import torch

from flatmtl_lite.runs import lenet, mlp, resnet18
from flatmtl_lite.runs.networks import ResidualBlock

NETWORKS = {"mlp": (mlp, 402_964), "lenet": (lenet, 31_910), "resnet18": (resnet18, 11_223_560)}


def size(module: torch.nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize("name", NETWORKS)
def test_sizes_are_the_published_ones(name):
    make, published = NETWORKS[name]
    assert size(make()) == published
    model = make()
    assert size(model.trunk) + sum(map(size, model.heads)) == published


@pytest.mark.parametrize("name", NETWORKS)
def test_every_task_has_its_classes(name):
    model = NETWORKS[name][0](classes=(10, 2, 5))
    outputs = model(torch.rand(3, 1, 36, 36))
    assert [tuple(output.shape) for output in outputs] == [(3, 10), (3, 2), (3, 5)]
    assert size(model.trunk) == size(NETWORKS[name][0](classes=(10,)).trunk)  # a single-task twin


@pytest.mark.parametrize(("before", "width", "stride"), [(4, 4, 1), (4, 8, 2), (4, 8, 1)])
def test_a_block_adds_to_its_input(before, width, stride):
    block = ResidualBlock(before, width, stride).eval()
    x = torch.randn(2, before, 9, 9)
    torch.nn.init.zeros_(block.change[-1].weight)  # then the block is its skip, cut at 0
    assert block(x).shape == (2, width, -(-9 // stride), -(-9 // stride))
    assert torch.equal(block(x), block.skip(x).relu())


def test_the_resnet_learns_and_keeps_signals_in_range():
    torch.manual_seed(0)
    z = resnet18().trunk(torch.rand(16, 1, 36, 36))
    assert z.shape == (16, 100)
    assert 0.01 < z.std() < 10
