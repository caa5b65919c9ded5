"""Weights of all aggregators at once."""

import torch

import flatmtl_lite as fm
from flatmtl_lite.lab.instruments.parts.weighing import METHODS, weigh_all


def test_all_methods_of_the_gramian_are_there():
    assert len(METHODS) == 12
    G = torch.randn(5, 3, 7, dtype=torch.float64)
    for name, weights in zip(METHODS, weigh_all(G), strict=True):
        assert torch.allclose(weights, fm.aggregator(name).weights(G @ G.mT)), name
