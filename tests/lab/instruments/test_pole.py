"""The pole instrument shows both divisors of IMTL-G."""

import pytest
import torch

from flatmtl_lite import lab
from flatmtl_lite.lab.instruments import pole
from tests.lab.traces import drawn


def test_the_pole_instrument_shows_both_divisors():
    stage = lab.pole_instrument(0.3)
    signs = set()
    for index in range(0, len(stage.values), 12):
        stage.index = index
        G, shown = torch.tensor(pole.NARROW, dtype=torch.float64), drawn(stage)
        dots = dict(zip(pole.LOOKS, shown["published-curve-here"][:-2:2], strict=True))
        length = dots["ours"][0].item()
        G[2] *= length / G[2].norm()
        norms = G.norm(dim=-1)
        beta = torch.linalg.solve(G @ G.T, norms)
        for uid, total in (("ours", beta.abs().sum()), ("published", beta.sum())):
            gain = G @ (beta @ G) / total / norms
            assert gain.std() < 1e-9
            at_most = gain[0].clamp(-1.65, 1.65).item()  # the rim of the panel
            assert dots[uid][1].item() == pytest.approx(at_most)
            assert shown[uid].diff(dim=0).norm() < 1.15 + 1e-9
        signs.add(bool(beta.sum() > 0))
        assert ("all get worse" in stage.state) == (beta.sum().item() < 0)
    assert signs == {True, False}


def test_no_line_is_drawn_across_the_pole():
    curve = drawn(lab.pole_instrument())["published-curve"]
    there = ~curve.isnan().any(-1)
    together = there[1:] & there[:-1]
    assert (curve[1:, 1] * curve[:-1, 1])[together].min() > 0
