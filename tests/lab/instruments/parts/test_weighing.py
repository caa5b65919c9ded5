"""Weights of all aggregators at once."""

import pytest
import torch

import flatmtl_lite as fm
from flatmtl_lite.lab.instruments.parts.weighing import METHODS, slopes, verdict, weigh_all


def test_all_methods_of_the_gramian_are_there():
    assert len(METHODS) == 12
    G = torch.randn(5, 3, 7, dtype=torch.float64)
    for name, weights in zip(METHODS, weigh_all(G), strict=True):
        assert torch.allclose(weights, fm.aggregator(name).weights(G @ G.mT)), name


def test_a_direction_of_0_has_no_cosine_and_stops():
    G = torch.eye(2, dtype=torch.float64)[None]
    cosines = slopes(G, torch.tensor([[[3.0, 4.0]], [[0.0, 0.0]]]).double())
    assert cosines[0].flatten().tolist() == pytest.approx([0.6, 0.8])
    assert cosines[1].isnan().all()
    assert verdict([0.5, 0.5], cosines[1, 0].tolist(), 0.0) == "weights 0.50, 0.50; direction 0: it stops."


def test_a_task_is_worse_off_only_if_its_cosine_is_negative():
    assert verdict([0.5, 0.5], [0.1, 0.0], 1.0) == "weights 0.50, 0.50; length 1.00; makes no task worse."
    assert verdict([0.5, 0.5], [0.1, -0.1], 1.0).endswith("; makes task 2 worse.")
