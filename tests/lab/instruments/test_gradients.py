"""The gradients instrument shows the core's numbers."""

import cmath
import math

import pytest
import torch

import flatmtl_lite as fm
from flatmtl_lite import lab
from flatmtl_lite.lab.instruments.parts.weighing import METHODS
from tests.lab.traces import drawn

PAIR = ((2.0, 0.1), (-0.7, 0.8))
TRIPLE = ((1.5, 0.2), (-0.4, 1.2), (0.9, 0.3))


def by_hand(gradients, turn: float) -> torch.Tensor:
    """The gradients with the last one turned, by complex numbers."""
    last = complex(*gradients[-1]) * cmath.exp(1j * math.radians(turn))
    return torch.tensor([*gradients[:-1], (last.real, last.imag)], dtype=torch.float64)


@pytest.mark.parametrize("gradients", [PAIR, TRIPLE], ids=["two", "three"])
@pytest.mark.parametrize("method", METHODS)
def test_the_gradients_instrument_shows_the_core(gradients, method):
    stage = lab.gradients_instrument(gradients, turn=75, method=method)
    G, shown = by_hand(gradients, 75), drawn(stage)
    d = fm.aggregator(method)(G)
    for k, g in enumerate(G):
        assert torch.allclose(shown[f"gradient-{k}"][1], g)
        assert torch.allclose(shown[f"point-{k}"][0], g)
    assert torch.allclose(shown["hull"], torch.cat([G, G[:1]]))
    assert torch.allclose(shown["direction"][1], d, atol=1e-6)
    if d.norm() > 1e-6:  # the arrow shows the step of the method, from the origin
        assert not shown["direction"][0].any()
    row = METHODS.index(method)
    assert torch.allclose(shown["others"][row], d, atol=1e-6)
    weights = fm.aggregator(method).weights(G @ G.mT)
    bars = [shown[f"weights-{k}"][3 * row + 1, 0] for k in range(len(G))]
    beyond = weights > 1.7  # such a bar is cut, and the largest weight is written next to it
    assert torch.allclose(torch.stack(bars), weights.clamp(max=1.7))
    words = stage.drawn().data[stage._traces["weights-cut"]].text[row]
    assert words == (f"<b>… {weights.max():.1f}</b>" if beyond.any() else " ")
    worst = (G @ d / G.norm(dim=-1) / d.norm()).min()
    assert shown["worst"][row, 0].item() == pytest.approx(worst.item(), abs=1e-6)
    assert ("worse" in stage.state.replace("no task worse", "")) == (worst.item() < -1e-6)


@pytest.mark.parametrize("gradients", [PAIR, TRIPLE], ids=["two", "three"])
def test_the_wedge_holds_what_is_good_for_all(gradients):
    stage = lab.gradients_instrument(gradients)
    for turn in (0, 35, 120, 180, 250):
        stage.index = stage.values.index(str(turn))
        holds_what_is_good_for_all(drawn(stage)["cone"], by_hand(gradients, turn))


def holds_what_is_good_for_all(wedge, G):
    angle = torch.deg2rad(torch.arange(0.5, 360, dtype=torch.float64))
    directions = torch.stack([angle.cos(), angle.sin()], -1)
    good = (directions @ G.T > 0).all(-1)
    rim = wedge[1:-1]
    if not good.any():
        assert rim.isnan().all()
        return
    middle = rim[len(rim) // 2] / rim[0].norm()
    half = torch.acos((rim[0] @ middle / rim[0].norm()).clamp(-1, 1))
    assert torch.equal(torch.acos(directions @ middle) < half, good)


def test_a_direction_of_nothing_is_not_drawn():
    stage = lab.gradients_instrument(((1, 0), (-1, 0)), method="mgda")
    shown = drawn(stage)
    assert shown["direction"].isnan().all()
    assert shown["worst"][METHODS.index("mgda")].isnan().any()
    assert "it stops" in stage.state


def test_a_zero_gradient_leaves_no_wedge():
    stage = lab.gradients_instrument(((1, 0), (0, 0)), method="nash_mtl")
    assert drawn(stage)["cone"].isnan().all()
    assert "weights 1.00, 0.00" in stage.state
