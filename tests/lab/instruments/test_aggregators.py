"""The instruments of notebook 04: what they show is the core's own, worked out another way."""

import cmath
import math

import numpy as np
import pytest
import torch

import flatmtl_lite as fm
from flatmtl_lite import lab
from flatmtl_lite.lab.figures.chance import angle_density, nine_in_ten
from flatmtl_lite.lab.instruments import cone, pole
from flatmtl_lite.lab.instruments.parts import weighing
from flatmtl_lite.lab.instruments.parts.space import cone_rays
from flatmtl_lite.lab.instruments.parts.weighing import METHODS

PAIR = ((2.0, 0.1), (-0.7, 0.8))
TRIPLE = ((1.5, 0.2), (-0.4, 1.2), (0.9, 0.3))


def drawn(stage) -> dict[str, torch.Tensor]:
    """The points of each trace as drawn now, (n, 2)."""
    traces = [trace for trace in stage.drawn().data if trace.uid]
    return {t.uid: torch.tensor(np.stack([t.x, t.y], -1).astype(float)) for t in traces}


def by_hand(gradients, turn: float) -> torch.Tensor:
    """The gradients with the last one turned, by complex numbers."""
    last = complex(*gradients[-1]) * cmath.exp(1j * math.radians(turn))
    return torch.tensor([*gradients[:-1], (last.real, last.imag)], dtype=torch.float64)


def test_all_methods_of_the_gramian_are_there():
    assert len(METHODS) == 12
    G = torch.randn(5, 3, 7, dtype=torch.float64)
    for name, weights in zip(METHODS, weighing.weigh_all(G), strict=True):
        assert torch.allclose(weights, fm.aggregator(name).weights(G @ G.mT)), name


@pytest.mark.parametrize("gradients", [PAIR, TRIPLE], ids=["two", "three"])
@pytest.mark.parametrize("method", METHODS)
def test_the_gradients_instrument_shows_the_core(gradients, method):
    stage = lab.gradients_instrument(gradients, turn=75, method=method)
    G, shown = by_hand(gradients, 75), drawn(stage)
    d = fm.aggregator(method)(G)
    for k, g in enumerate(G):
        assert torch.allclose(shown[f"gradient-{k}"][1], g)
        assert torch.allclose(shown[f"point-{k}"][0], g)
    assert torch.allclose(shown["direction"][1], d, atol=1e-6)
    row = METHODS.index(method)
    assert torch.allclose(shown["others"][row], d, atol=1e-6)
    weights = fm.aggregator(method).weights(G @ G.mT)
    bars = [shown[f"weights-{k}"][3 * row + 1, 0] for k in range(len(G))]
    assert torch.allclose(torch.stack(bars), weights)
    worst = (G @ d / G.norm(dim=-1) / d.norm()).min()
    assert shown["worst"][row, 0].item() == pytest.approx(worst.item(), abs=1e-6)
    assert ("worse" in stage.state.replace("no task worse", "")) == (worst.item() < -1e-6)


@pytest.mark.parametrize("turn", [0, 35, 120, 180, 250])
@pytest.mark.parametrize("gradients", [PAIR, TRIPLE], ids=["two", "three"])
def test_the_wedge_holds_what_is_good_for_all(gradients, turn):
    stage = lab.gradients_instrument(gradients, turn=turn)
    G = by_hand(gradients, turn)
    angle = torch.deg2rad(torch.arange(0.5, 360, dtype=torch.float64))
    directions = torch.stack([angle.cos(), angle.sin()], -1)
    good = (directions @ G.T > 0).all(-1)
    rim = drawn(stage)["cone"][1:-1]
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


def test_the_rays_bound_the_cone():
    G = torch.randn(50, 3, 3, dtype=torch.float64)
    inner = G @ cone_rays(G).mT
    off = inner - torch.diag_embed(inner.diagonal(dim1=-2, dim2=-1))
    assert off.abs().max() < 1e-9
    assert (inner.diagonal(dim1=-2, dim2=-1) > 0).all()


def test_the_pole_instrument_shows_both_divisors():
    stage = lab.pole_instrument(0.3)
    signs = set()
    for index in range(0, len(stage.values), 12):
        stage.index = index
        G, shown = torch.tensor(pole.NARROW, dtype=torch.float64), drawn(stage)
        length = shown["ours-here"][0, 0].item()
        G[2] *= length / G[2].norm()
        norms = G.norm(dim=-1)
        beta = torch.linalg.solve(G @ G.T, norms)
        for uid, total in (("ours", beta.abs().sum()), ("published", beta.sum())):
            gain = G @ (beta @ G) / total / norms
            assert gain.std() < 1e-9
            at_most = gain[0].clamp(-1.65, 1.65).item()  # the rim of the panel
            assert shown[f"{uid}-here"][0, 1].item() == pytest.approx(at_most)
            assert shown[uid].diff(dim=0).norm() < 1.15 + 1e-9
        signs.add(bool(beta.sum() > 0))
        assert ("all get worse" in stage.state) == (beta.sum().item() < 0)
    assert signs == {True, False}


def test_no_line_is_drawn_across_the_pole():
    curve = drawn(lab.pole_instrument())["published-curve"]
    there = ~curve.isnan().any(-1)
    together = there[1:] & there[:-1]
    assert (curve[1:, 1] * curve[:-1, 1])[together].min() > 0


@pytest.mark.parametrize("parameters", [2, 10, 100])
def test_chance_is_what_random_vectors_do(parameters):
    generator = torch.Generator().manual_seed(0)
    G = torch.randn(20_000, 2, parameters, generator=generator, dtype=torch.float64)
    angles = fm.diagnostics.angles(G)[:, 0, 1]
    size = torch.tensor([float(parameters)])
    within = (angles - 90).abs().quantile(0.9).item()
    assert nine_in_ten(size).item() == pytest.approx(within, rel=0.02)
    density = angle_density(torch.tensor([30.0, 90.0]), size)
    at, top = ((angles - c).abs().lt(3).double().mean().item() for c in (30, 90))
    assert (density[0] / density[1]).item() == pytest.approx(at / top, abs=0.1)


def test_the_chance_instrument_follows_the_root():
    stage = lab.chance_instrument(1000)
    shown = drawn(stage)
    assert shown["here"][0].tolist() == pytest.approx([1000, 1000**-0.5])
    assert "1,000 parameters" in stage.state
    assert shown["density"][:, 1].max() == pytest.approx(1)


def test_measured_angles_stand_beside_chance():
    figure = lab.angles_beside_chance([0.0, 0.1, -0.1], 10_000)
    assert list(figure.data[0].x) == [90, 84.261, 95.739]
    assert max(figure.data[1].y) == pytest.approx(1)


def test_recipes_open_the_same_state():
    stage = lab.gradients_instrument()
    stage.index, stage.choice, stage.points = 17, 3, [[0.5, -1.25], [1, 2]]
    parts = {"value": stage.values[17], "choice": repr(stage.choices[3]), "points": "[(0.5, -1.25), (1, 2)]"}
    again = eval(stage.recipe.format(**parts), {"lab": lab})
    assert (again.index, again.choice, again.points) == (stage.index, stage.choice, stage.points)
    assert again.tables[3] == stage.tables[3]
    for make in (lab.cone_instrument, lab.pole_instrument, lab.chance_instrument):
        stage = make()
        stage.index = stage.choice = len(stage.choices) - 1
        parts = {"value": stage.values[stage.index], "choice": repr(stage.choices[stage.choice])}
        again = eval(stage.recipe.format(**parts), {"lab": lab})
        assert (again.state, again.tables[stage.choice]) == (stage.state, stage.tables[stage.choice])


@pytest.mark.parametrize(
    ("make", "word"),
    [
        (lambda: lab.gradients_instrument([(1, 0)]), "1 gradients"),
        (lambda: lab.gradients_instrument([(1, 0), (7, 0)]), "task 2=(7, 0)"),
        (lambda: lab.gradients_instrument(method="graddrop"), "'graddrop'"),
        (lambda: lab.gradients_instrument(turn=400), "turn=400"),
        (lambda: lab.cone_instrument(((1, 0, 0), (0, 1, 0), (1, 1, 0))), "three independent"),
        (lambda: lab.cone_instrument("abc"), "'abc'"),
        (lambda: lab.cone_instrument(camera=-1), "camera=-1"),
        (lambda: lab.cone_instrument(method="magic"), "'magic'"),
        (lambda: lab.pole_instrument(0), "length=0"),
        (lambda: lab.chance_instrument(1), "parameters=1"),
    ],
)
def test_bad_input_is_named(make, word):
    with pytest.raises(ValueError, match="expected") as error:
        make()
    assert word in str(error.value)
