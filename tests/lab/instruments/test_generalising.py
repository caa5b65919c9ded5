"""The instruments and figures of notebook 06 show the core's numbers."""

import math

import numpy as np
import pytest
import torch

import flatmtl_lite as fm
from flatmtl_lite import lab
from flatmtl_lite.lab.instruments import bound, scale
from tests.lab.traces import shown

MAKERS = {"scale": lab.scale_instrument, "bound": lab.bound_instrument}


@pytest.mark.parametrize("name", MAKERS)
def test_every_choice_fills_every_trace(name):
    stage = MAKERS[name]()
    stage.fill()
    for k in range(len(stage.choices)):
        stage.choice = k
        assert len(set(stage.states[k])) == len(stage.values)
        for trace in stage.drawn().data:
            if trace.uid:
                assert len(trace.x) == len(trace.y) >= 1, trace.uid


@pytest.mark.parametrize("loss", scale.SCALED)
@pytest.mark.parametrize("alpha", [0.1, 1.0, 4.0])
def test_the_scale_instrument_shows_the_core(loss, alpha):
    stage = lab.scale_instrument(alpha, loss)
    task = scale.SCALED[loss]

    def measured(at):
        factor = torch.logspace(-1, 1, 81, dtype=torch.float64)[stage.index] if at is None else at
        w, b, heads, biases = scale.trained().split([8, 8, 16, 2])
        weights = [torch.nn.Parameter(p) for p in (factor * w, factor * b, heads / factor, biases)]

        def value():
            x, targets = scale.points()
            first, shift, last, offset = weights
            output = (x[:, None] * first + shift).relu() @ last.view(8, 2) + offset
            losses = (output - targets).square().mean(0)
            return losses.mean() if task is None else losses[task]

        D = fm.diagnostics
        return {
            "sharpness": D.sharpness(value, weights, scale.RHO),
            "adaptive": D.sharpness(value, weights, scale.RHO_ADAPTIVE, adaptive=True),
            "top": D.top_eigenvalue(value, weights, 200),
            "loss": value().item(),
        }

    here, before = measured(None), measured(1.0)
    for uid in ("sharpness", "adaptive", "top"):
        assert shown(stage, uid)[0, 1].item() == pytest.approx(here[uid] / before[uid], rel=1e-5)
    assert shown(stage, "adaptive")[0, 1].item() == pytest.approx(1)
    assert here["loss"] == pytest.approx(before["loss"])
    line = shown(stage, "now")
    assert line[30].tolist() == pytest.approx([0, here["loss"]], abs=1e-9)
    at_rho = np.interp([-scale.RHO, scale.RHO], line[:, 0], line[:, 1]).max()
    assert at_rho <= here["loss"] + here["sharpness"] * 1.05
    assert at_rho >= here["loss"] + here["sharpness"] * 0.9


def test_the_scaled_network_computes_the_same():
    stages = [lab.scale_instrument(alpha) for alpha in (0.1, 1, 10)]
    for uid in ("task-0", "task-1", "before"):
        one, other, third = (shown(stage, uid) for stage in stages)
        assert torch.allclose(one, other, atol=1e-9)
        assert torch.allclose(third, other, atol=1e-9)
    sizes = [shown(stage, "first")[:, 1] for stage in stages]
    assert torch.allclose(sizes[2], 100 * sizes[0])


def test_the_curvature_of_all_scales_at_once_is_exact():
    theta = scale.rescaled(scale.trained(), torch.tensor([0.5, 2.0], dtype=torch.float64))
    found = scale.measured(theta, lambda weights: scale.losses(weights).mean(-1))
    for k, weights in enumerate(theta):
        hessian = torch.autograd.functional.hessian(lambda w: scale.losses(w).mean(), weights)
        assert found["trace"][k].item() == pytest.approx(hessian.trace().item())
        assert found["top"][k].item() == pytest.approx(torch.linalg.eigvalsh(hessian)[-1].item())


@pytest.mark.parametrize("network", bound.NETWORKS)
def test_the_bound_instrument_shows_the_formula(network):
    stage = lab.bound_instrument(2000, network, norm_squared=100.0)
    T, N = bound.NETWORKS[network], 2000
    bracket = 0.5 + T / 2 * math.log(1 + 100 / 0.14**2 * (1 + math.sqrt(math.log(N) / T)) ** 2)
    bracket += math.log(2 / 0.05) + 6 * math.log(N + T) + 100 / 8
    assert shown(stage, "here")[0].tolist() == pytest.approx([N, bracket / math.sqrt(N)])
    assert shown(stage, "size")[0].tolist() == pytest.approx([T, bracket / math.sqrt(N)])
    bars = shown(stage, "terms")[1::3, 0]
    assert bars.sum().item() == pytest.approx(bracket / math.sqrt(N))
    assert "promises nothing" in stage.state


def test_the_bound_says_something_where_its_curve_crosses_chance():
    for network in bound.NETWORKS:
        stage = lab.bound_instrument(1e15, network)
        says = ["says something" in state for state in stage.states[stage.choice]]
        curve = shown(stage, f"{network}-curve")[:, 1]
        assert says == (curve < math.log(10)).tolist()
        assert not says[0]
        assert says[-1]


@pytest.mark.parametrize(
    ("recipe", "index"),
    [("lab.scale_instrument(alpha=3.98, loss='task 2')", 64), ("lab.bound_instrument(images=6.3e+11)", 72)],
)
def test_a_state_opens(recipe, index):
    stage = eval(recipe, {"lab": lab})
    stage.fill()
    parts = {"value": stage.values[index], "choice": repr(stage.choices[1])}
    again = eval(stage.recipe.format(**parts), {"lab": lab})
    assert (again.index, again.choice) == (index, 1)
    assert again.tables[1] == stage.tables[1]
    values = torch.tensor([float(value) for value in stage.values])
    assert (values.diff() > 0).all()  # each position can be written down


@pytest.mark.parametrize(
    ("make", "word"),
    [
        (lambda: lab.scale_instrument(0), "alpha=0"),
        (lambda: lab.scale_instrument(float("nan")), "alpha=nan"),
        (lambda: lab.scale_instrument(loss="task 3"), "'task 3'"),
        (lambda: lab.bound_instrument(10), "images=10"),
        (lambda: lab.bound_instrument(network="VGG"), "'VGG'"),
        (lambda: lab.bound_instrument(norm_squared=-1.0), "norm_squared=-1.0"),
        (lambda: lab.bound_terms(0, 10), "weights=0.0"),
        (lambda: lab.bound_terms(10, float("nan")), "images=nan"),
        (lambda: lab.bound_terms(10, 10, delta=1), "delta=1"),
        (lambda: lab.bound_terms(10, 10, rho=0), "rho=0"),
        (lambda: lab.bound_terms(10, 10, tasks=0), "tasks=0"),
        (lambda: lab.bound_terms(10, 10, largest_loss=0), "largest_loss=0"),
    ],
)
def test_bad_input_is_named(make, word):
    with pytest.raises(ValueError, match="expected") as error:
        make()
    assert word in str(error.value)


def test_the_bound_grows_with_the_norm_and_falls_with_the_images():
    values = [sum(lab.bound_terms(1000, 1e4, norm_squared=n).values()) for n in (1.0, 10.0, 100.0)]
    assert values == sorted(values)
    values = sum(lab.bound_terms(1000, torch.logspace(2, 8, 20)).values())
    assert (values.diff() < 0).all()


def test_the_figures_of_the_measures():
    runs = {"LS": [1.0, 2.0], "F-LS": [0.1, 0.2]}
    dots = lab.figures.measure_dots({"a": runs, "b": runs}, {"LS": [55.0, 56.0], "F-LS": [70.0, 71.0]})
    assert [tuple(trace.y) for trace in dots.data] == [(55, 56), (70, 71)] * 2
    curves = lab.figures.radius_curves({"plain": ([0.1, 0.2], runs)})
    assert [tuple(trace.y) for trace in curves.data] == [(1, 2), (0.1, 0.2)]
    bins = (torch.tensor([5.0, 50.0]), torch.tensor([0.3, 0.8]), torch.tensor([0.1, 0.6]))
    diagram = lab.figures.reliability_diagram({"clean": [bins, bins]}, ("digit", "garment"))
    assert [tuple(trace.x) for trace in diagram.data[1:]] == [(0.8,)] * 2  # five images are too few
