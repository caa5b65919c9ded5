"""The cone instrument shows the core's numbers."""

import math

import pytest
import torch

import flatmtl_lite as fm
from flatmtl_lite import lab
from flatmtl_lite.lab.instruments import cone
from flatmtl_lite.lab.instruments.parts.weighing import METHODS
from tests.lab.traces import drawn


@pytest.mark.parametrize("method", METHODS)
def test_the_cone_instrument_shows_the_core(method):
    stage = lab.cone_instrument(camera=60, method=method)
    G, shown = torch.tensor(cone.GRADIENTS, dtype=torch.float64), drawn(stage)
    d = fm.aggregator(method)(G)
    # turn the world by -60° about z, look along -x, then tip by 20°
    a, up = math.radians(60), math.radians(20)
    x, y, z = d.tolist()
    toward, right = x * math.cos(a) + y * math.sin(a), -x * math.sin(a) + y * math.cos(a)
    above = z * math.cos(up) - toward * math.sin(up)
    assert shown["direction"][1].tolist() == pytest.approx([right, above], abs=1e-6)
    worst = (G @ d / G.norm(dim=-1) / d.norm()).min().item()
    assert shown["worst"][METHODS.index(method), 0].item() == pytest.approx(worst, abs=1e-6)
