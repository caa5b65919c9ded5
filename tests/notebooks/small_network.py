"""The network of notebooks 03 and 91, for the tests of their claims."""

import torch

import flatmtl_lite as fm
from flatmtl_lite import runs


def network(activation=torch.nn.ReLU) -> runs.MultiTaskNet:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = runs.mlp().double()
    net.trunk[2], net.trunk[4] = activation(), activation()
    return net


def split(net, batch, rho: float, **options) -> fm.Decomposition:
    heads = [list(head.parameters()) for head in net.heads]
    return fm.decompose(*runs.task_closures(net, *batch), list(net.trunk.parameters()), heads, rho, **options)
