"""The toy problems: closed-form gradients, and what their docstrings claim."""

import pytest
import torch

import flatmtl_lite as fm
from flatmtl_lite.toy import LINE, PROBLEMS, Method, descend

ALL = pytest.mark.parametrize("problem", PROBLEMS.values(), ids=PROBLEMS)


def somewhere(problem, *shape, seed=0):
    """Points all over the window."""
    generator = torch.Generator().manual_seed(seed)
    low, high = torch.tensor(problem.window, dtype=torch.float64).unbind(-1)
    return low + (high - low) * torch.rand(*shape, 2, generator=generator, dtype=torch.float64)


@ALL
def test_gradients_are_autograds(problem):
    points = somewhere(problem, 500, problem.tasks).requires_grad_()
    (expected,) = torch.autograd.grad(problem.losses(points).sum(), points)
    assert torch.allclose(problem.gradients(points), expected, rtol=1e-10, atol=1e-10)


@ALL
def test_each_task_reads_its_own_point(problem):
    points = somewhere(problem, 7, problem.tasks)
    for i in range(problem.tasks):
        alone = points[:, i : i + 1]
        assert torch.equal(problem.losses(alone)[:, i], problem.losses(points)[:, i])
        assert torch.equal(problem.gradients(alone)[:, i], problem.gradients(points)[:, i])


@ALL
def test_starts_lie_in_the_window(problem):
    low, high = torch.tensor(problem.window).unbind(-1)
    starts = torch.tensor(problem.starts)
    assert ((low < starts) & (starts < high)).all()


def test_ridges_is_the_published_problem():
    """Values of the published formulas at (-8.5, 7.5) and (0, -4), worked out by hand."""
    x1, x2 = torch.tensor([-8.5, 0.0], dtype=torch.float64), torch.tensor([7.5, -4.0], dtype=torch.float64)
    f1 = torch.log((0.5 * (-x1 - 7) - torch.tanh(-x2)).abs().clamp_min(5e-6)) + 6
    f2 = torch.log((0.5 * (-x1 + 3) + torch.tanh(-x2) + 2).abs().clamp_min(5e-6)) + 6
    c1, c2 = torch.tanh(x2 / 2).clamp_min(0), torch.tanh(-x2 / 2).clamp_min(0)
    bowls = [((-x1 + s * 7) ** 2 + 0.1 * (-x2 - 8) ** 2) / 10 - 20 for s in (1, -1)]
    expected = torch.stack([f * c1 + bowl * c2 for f, bowl in zip((f1, f2), bowls)], -1)
    points = torch.stack([x1, x2], -1).unsqueeze(-2)
    assert torch.allclose(PROBLEMS["ridges"].losses(points), expected, rtol=1e-12)


def test_the_front_of_ridges_is_pareto_stationary_and_the_known_line():
    front = PROBLEMS["ridges"].front(29)[1:-1]
    G = PROBLEMS["ridges"].gradients(front.unsqueeze(-2))
    assert torch.allclose(fm.diagnostics.cosines(G)[:, 0, 1], torch.tensor(-1.0).double(), atol=1e-9)
    assert front[len(front) // 2].tolist() == pytest.approx([0.0, -8.3552], abs=1e-4)


def test_every_start_of_ridges_reaches_the_front():
    ridges = PROBLEMS["ridges"]
    side = torch.linspace(-10, 10, 10, dtype=torch.float64)
    starts = torch.cat([torch.tensor(ridges.starts), torch.cartesian_prod(side, side)])
    ends = descend(ridges, starts, 0.0, [Method(fm.Mean(), "erm"), Method(fm.PCGrad(), "erm")])[..., -1, :]
    assert ((ends[..., 1] + 8.37).abs() < 0.35).all()


def test_valleys_has_a_sharp_minimum_that_is_lower_and_a_flat_one():
    valleys = PROBLEMS["valleys"]

    def mean(w):
        return valleys.losses(w.unsqueeze(-2)).mean()

    near = torch.tensor([[-1.0, -0.1], [1.2, -0.8]])
    sharp, flat = descend(valleys, near, 0.0, [Method(fm.Mean(), "erm")], steps=400)[0, :, -1]
    curvature = [
        torch.linalg.eigvalsh(torch.autograd.functional.hessian(mean, point)).max() for point in (sharp, flat)
    ]
    assert valleys.gradients(torch.stack([sharp, flat]).unsqueeze(-2)).mean(-2).abs().max() < 1e-8
    assert mean(sharp) < mean(flat)
    assert curvature[0] > 4 * curvature[1]


@pytest.mark.parametrize(
    "method",
    [
        Method(fm.Mean(), "direct", "mean"),
        Method(fm.Mean(), "direct"),
        Method(fm.Mean(), "direct", adaptive=True),
        Method(fm.PCGrad(), "direct"),
        Method(fm.PCGrad()),
        Method(fm.MGDA()),
        Method(fm.CAGrad()),
    ],
    ids=repr,
)
def test_sam_leaves_the_sharp_valley_for_the_flat_one_as_rho_grows(method):
    valleys = PROBLEMS["valleys"]
    start, rho = torch.tensor(valleys.starts[0]), torch.linspace(0, 1, 21)
    x = descend(valleys, start, rho, [method])[0, :, -1, 0]
    assert x[0] < -0.9
    assert (x[rho >= 0.4] > 1.1).all()


def test_on_triangle_direct_and_decomposed_end_apart():
    triangle = PROBLEMS["triangle"]
    methods = [Method(fm.PCGrad(), "direct"), Method(fm.PCGrad(), "decomposed")]
    rho = torch.tensor([0.0, 0.5, 0.75, 1.0])
    ends = descend(triangle, torch.tensor(triangle.starts[0]), rho, methods)[..., -1, :]
    apart = (ends[0] - ends[1]).norm(dim=-1)
    assert apart[0] < 0.01  # PCGrad draws its orders anew for each part
    assert (apart[1:] > 0.8).all()
    norms = triangle.gradients(torch.tensor(triangle.starts[0]).double()[None]).norm(dim=-1)
    assert norms.max() > 2.5 * norms.min()


@pytest.mark.parametrize("name", [*PROBLEMS, "line"])
def test_the_minima_of_each_task_are_minima(name):
    problem = (PROBLEMS | {"line": LINE})[name]
    found = problem.minima()
    assert [len(points) for points in found] == {"valleys": [2, 2], "line": [2]}.get(
        name, [1] * problem.tasks
    )
    turn = torch.linspace(0, 2 * torch.pi, 9, dtype=torch.float64)[:-1]
    around = 0.05 * torch.stack([turn.cos(), turn.sin()], -1)
    for k, points in enumerate(found):
        for point in points:
            here, there = (problem.losses(p.unsqueeze(-2))[..., k] for p in (point, point + around))
            assert (there > here).all()
