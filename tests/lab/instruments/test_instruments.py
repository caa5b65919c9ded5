"""The instruments: what they show is the core's own, and their state can be written down."""

import numpy as np
import pytest
import torch

import flatmtl_lite as fm
from flatmtl_lite import lab
from flatmtl_lite.lab.instruments.descent import DESCENTS
from flatmtl_lite.lab.instruments.rho import FLAT_DESCENTS
from flatmtl_lite.toy import PROBLEMS, Method, decompose, descend
from tests.lab.traces import shown

MAKERS = {
    "rho": lab.rho_instrument,
    "descent": lab.descent_instrument,
    "ball": lab.ball_instrument,
    "rho, three tasks": lambda **state: lab.rho_instrument("triangle", **state),
    "rho, ridges": lambda **state: lab.rho_instrument("ridges", **state),
}


@pytest.mark.parametrize("name", MAKERS)
def test_every_choice_fills_every_trace(name):
    stage = MAKERS[name]()
    stage.fill()
    assert all(stage.tables)
    for k in range(len(stage.choices)):
        stage.choice = k
        assert len(set(stage.states[k])) == len(stage.values)
        for trace in stage.drawn().data:
            if trace.uid:
                assert len(trace.x) == len(trace.y) >= 1, trace.uid


@pytest.mark.parametrize("problem", ["valleys", "triangle"])
@pytest.mark.parametrize("method", FLAT_DESCENTS)
def test_the_rho_instrument_shows_the_core(problem, method):
    landscape, start = PROBLEMS[problem], PROBLEMS[problem].starts[1]
    stage = lab.rho_instrument(problem, rho=0.35, start=start, method=method)
    rho = float(stage.values[stage.index])
    theta = torch.tensor(start, dtype=torch.float64)
    d = decompose(landscape, theta, rho, FLAT_DESCENTS[method]())
    path = descend(landscape, theta, rho, [FLAT_DESCENTS[method]()])[0]
    assert torch.allclose(shown(stage, "path"), path, atol=1e-9)
    lengths = [(shown(stage, f"sam-{k}")[1]).norm() for k in range(landscape.tasks)]
    assert torch.allclose(torch.stack(lengths) / lengths[0], d.sam.norm(dim=-1) / d.sam[0].norm())
    for k in range(landscape.tasks):
        loss, flat, sam = (shown(stage, f"{part}-{k}") for part in ("loss", "flat", "sam"))
        assert torch.allclose(loss[1], flat[0], atol=1e-9)  # head to tail ...
        assert torch.allclose(flat[1], sam[1], atol=1e-9)  # ... they make the sum
        step = shown(stage, f"perturbed-{k}")[1] - theta
        measure = theta.abs() if "adaptive" in method else torch.ones(2)
        assert (step / measure).norm().item() == pytest.approx(rho, abs=1e-9)
    angle = shown(stage, "between-sam-here")[0, 1]
    between = fm.diagnostics.angles(d.sam) * (1 - torch.eye(landscape.tasks))
    assert angle.item() == pytest.approx(between.max().item())
    assert f"SAM gradients {angle:.0f}° apart" in stage.state


@pytest.mark.parametrize("method", DESCENTS)
def test_the_descent_instrument_shows_the_core(method):
    ridges, start = PROBLEMS["ridges"], (9.0, 9.0)
    stage = lab.descent_instrument(step=50, start=start, method=method)
    path = descend(ridges, torch.tensor(start), 0.0, [DESCENTS[method]()])[0]
    step = int(stage.values[stage.index])
    assert step == 50
    assert torch.allclose(shown(stage, "here")[0], path[step])
    trail = shown(stage, "here-trail")  # what is not walked yet is not shown
    assert torch.allclose(trail[: stage.index + 1], path[: step + 1 : 2])
    assert trail[stage.index + 1 :].isnan().all()
    assert torch.allclose(shown(stage, "losses")[0], ridges.losses(path[step][None]))
    G = ridges.gradients(path[step][None])
    assert shown(stage, "angle")[0, 1].item() == pytest.approx(fm.diagnostics.angles(G)[0, 1].item())
    direction = DESCENTS[method]().aggregate(G)
    longest = torch.stack([*G, direction]).norm(dim=-1).max()
    assert torch.allclose(shown(stage, "direction")[1], direction / longest)


@pytest.mark.parametrize("loss", ["mean loss", "task 1", "task 2"])
def test_the_ball_instrument_measures_sharpness(loss):
    valleys, point = PROBLEMS["valleys"], (-0.9, 0.1)
    stage = lab.ball_instrument(rho=0.4, point=point, loss=loss)
    w = torch.tensor(point, dtype=torch.float64, requires_grad=True)

    def value():
        losses = valleys.losses(w.unsqueeze(-2))
        return losses.mean() if loss == "mean loss" else losses[int(loss[-1]) - 1]

    rho = float(stage.values[stage.index])
    for uid, steps in (("one", 1), ("ten", 10)):
        rise = shown(stage, f"{uid}-here")[0]
        assert rise.tolist() == pytest.approx([rho, fm.diagnostics.sharpness(value, [w], rho, steps)])
        assert (shown(stage, f"{uid}-at")[0] - w.detach()).norm() <= rho + 1e-9


def test_the_adaptive_ball_is_an_ellipse():
    point = (-0.5, 1.5)
    stage = lab.ball_instrument(rho=0.4, point=point, loss="mean loss, adaptive")
    theta = torch.tensor(point, dtype=torch.float64)
    for uid in ("ball", "one-at", "ten-at"):
        size = ((shown(stage, uid) - theta) / theta).norm(dim=-1)
        assert (size <= 0.4 + 1e-9).all()
    assert torch.allclose(((shown(stage, "ball") - theta) / theta).norm(dim=-1), torch.tensor(0.4).double())


def test_a_random_aggregator_shows_the_same_picture_again():
    first = lab.rho_instrument("triangle", method="PCGrad, decomposed")
    second = lab.rho_instrument("triangle", method="PCGrad, decomposed")
    assert first.tables[4] == second.tables[4]


@pytest.mark.parametrize("name", ["rho", "descent", "ball"])
def test_the_recipe_opens_the_same_state(name):
    stage = MAKERS[name]()
    stage.index, stage.choice, stage.points = 17, 1, [[0.5, -1.25]]
    parts = {"value": stage.values[17], "choice": repr(stage.choices[1]), "point": "(0.5, -1.25)"}
    again = eval(stage.recipe.format(**parts), {"lab": lab})
    assert (again.index, again.choice, again.points) == (stage.index, stage.choice, stage.points)
    assert again.tables[1] == stage.tables[1]


@pytest.mark.parametrize(
    ("make", "word"),
    [
        (lambda: lab.rho_instrument("hills"), "'hills'"),
        (lambda: lab.rho_instrument(rho=-0.1), "-0.1"),
        (lambda: lab.rho_instrument(rho=9), "rho=9"),
        (lambda: lab.rho_instrument(rho=float("nan")), "nan"),
        (lambda: lab.rho_instrument(start=(7, 0)), "(7, 0)"),
        (lambda: lab.rho_instrument(method="magic"), "'magic'"),
        (lambda: lab.descent_instrument("triangle"), "'triangle'"),
        (lambda: lab.descent_instrument(step=1000), "step=1000"),
        (lambda: lab.ball_instrument(loss="task 3"), "'task 3'"),
        (lambda: lab.ball_instrument("triangle"), "'triangle'"),
    ],
)
def test_bad_input_is_named(make, word):
    with pytest.raises(ValueError, match="expected") as error:
        make()
    assert word in str(error.value)


def test_where_starts_end_draws_the_ends():
    methods = {"mean": Method(fm.Mean(), "erm"), "PCGrad": Method(fm.PCGrad(), "erm")}
    starts = torch.tensor([[1.0, 2.0], [-3.0, 4.0]])
    figure = lab.where_starts_end(PROBLEMS["ridges"], methods, starts)
    ends = descend(PROBLEMS["ridges"], starts, 0.0, list(methods.values()))[..., -1, :]
    drawn = [trace for trace in figure.data if trace.name == "end"]
    for trace, end in zip(drawn, ends, strict=True):
        assert np.stack([trace.x, trace.y], -1) == pytest.approx(end.numpy(), abs=1e-3)
