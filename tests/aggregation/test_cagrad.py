"""CAGrad stays in its ball and leaves no duality gap; searches find nothing better."""

import itertools
import math

import pytest
import torch
from torch.nn.functional import normalize

import flatmtl_lite as fm
from flatmtl_lite.aggregation.cone import cone_minimum

CS = [0.1, 0.4, 0.9, 1.0, 2.0]


def solve(G, c):
    """Return the published direction d, 1 + c times ours, and the dual's simplex weights."""
    weights = (1 + c) * fm.CAGrad(c=c).weights(G @ G.mT)
    d = (weights.unsqueeze(-2) @ G).squeeze(-2)
    return d, normalize((weights - 1 / G.shape[-2]).clamp_min(0), p=1, dim=-1)


def dual_value(G, w, c):
    """Return ⟨g_w, g₀⟩ + c ‖g₀‖‖g_w‖: for any w of the simplex, no feasible d beats it on its worst task."""
    g_0, g_w = G.mean(-2), (w.unsqueeze(-2) @ G).squeeze(-2)
    return (g_w * g_0).sum(-1) + c * g_0.norm(dim=-1) * g_w.norm(dim=-1)


@pytest.mark.parametrize("c", CS)
@pytest.mark.parametrize(("T", "P"), [(2, 5), (3, 2), (10, 4), (10, 60), (40, 10), (40, 100)])
def test_the_direction_stays_in_the_ball_and_leaves_no_duality_gap(T, P, c, mixture):
    natures = ["normal", "descent", "no_descent", "rank_2"]
    G, is_a = mixture(natures, T, P, batch=16 if T < 40 else 4, decades=[0, 6])
    d, w = solve(G, c)
    g_0 = G.mean(-2)
    radius = c * g_0.norm(dim=-1)
    assert ((d - g_0).norm(dim=-1) <= radius * (1 + 1e-8) + 1e-8 * g_0.norm(dim=-1)).all()

    solved = (d != 0).any(-1)
    primal, dual = (G @ d.unsqueeze(-1)).squeeze(-1), dual_value(G, w, c).unsqueeze(-1)
    size = G.norm(dim=-1) * d.norm(dim=-1, keepdim=True)
    assert ((primal - dual)[solved] >= -1e-8 * size[solved]).all()

    # 0 is within the ball only for c >= 1, and the best only where no direction descends on every task
    stationary = (fm.MGDA()(G) == 0).all(-1)
    assert (solved | (stationary & (c >= 1))).all()
    if c >= 1:
        assert not solved[is_a["no_descent"]].any()
    assert solved[is_a["descent"]].all()


def shortest(G):
    """Return simplex weights of the shortest vector of the hull: a dual point where the optimum is 0."""
    size = G.norm(dim=-1)
    rows = G / size.unsqueeze(-1)
    v = cone_minimum(rows @ rows.mT, size.amin(-1, keepdim=True) / size, torch.finfo(G.dtype).eps)
    return normalize(v / size, p=1, dim=-1)


def small_integers(largest, T, P):
    generator = torch.Generator().manual_seed(0)
    G = torch.randint(-largest, largest + 1, (3000, T, P), generator=generator).double()
    return G[(G != 0).any(-1).all(-1) & (G.sum(-2) != 0).any(-1)]


def opposite_pair(T, P):
    generator = torch.Generator().manual_seed(0)
    G = torch.randn(3000, T, P, generator=generator, dtype=torch.float64)
    G[:, 1] = -G[:, 0] * 10 ** (torch.rand(3000, 1, generator=generator, dtype=torch.float64) - 0.5)
    return G


@pytest.mark.parametrize(
    "G",
    [small_integers(1, *shape) for shape in ((3, 2), (4, 3), (6, 3), (10, 4))]
    + [small_integers(3, *shape) for shape in ((3, 2), (6, 3), (10, 8))]
    + [opposite_pair(*shape) for shape in ((2, 3), (3, 2), (4, 3), (6, 10), (10, 5))],
    ids=lambda G: "x".join(map(str, G.shape)),
)
def test_there_is_no_duality_gap_where_gradients_cancel(G):
    g_0 = G.mean(-2)
    radius = g_0.norm(dim=-1)
    hull = shortest(G)
    for c in (0.1, 0.4, 0.7, 0.9, 0.99):
        d, w = solve(G, c)
        assert ((d - g_0).norm(dim=-1) <= radius * (c + 1e-8)).all(), c
        dual = torch.minimum(dual_value(G, w, c), dual_value(G, hull, c))
        gap = dual.unsqueeze(-1) - (G @ d.unsqueeze(-1)).squeeze(-1)
        assert (gap <= 1e-8 * G.norm(dim=-1) * radius.unsqueeze(-1)).all(), c


@pytest.mark.parametrize(("T", "P"), [(3, 4), (4, 6), (10, 20)])
def test_little_is_lost_where_gradients_nearly_cancel(T, P, sample):
    """Below 2e-7 the terms count as cancelling; above, the search is accurate."""
    for delta in (1e-2, 1e-4, 1e-6, 1e-8, 1e-10, 1e-12):
        G = sample("no_descent", T, P, batch=300) + delta * sample("normal", 1, P, batch=300)
        d, w = solve(G, 0.9)
        radius = G.mean(-2).norm(dim=-1)
        dual = torch.minimum(dual_value(G, w, 0.9), dual_value(G, shortest(G), 0.9))
        gap = dual - (G @ d.unsqueeze(-1)).squeeze(-1).amin(-1)
        allowed = 4e-7 if delta in (1e-6, 1e-8) else 1e-8
        assert (gap <= allowed * G.norm(dim=-1).mean(-1) * radius).all(), delta


@pytest.mark.parametrize("c", CS)
def test_a_fine_search_over_two_tasks_gives_the_same_worst_gain(c, mixture):
    G, _ = mixture(["normal"], 2, 5, batch=40, decades=[0, 2])
    d, _ = solve(G, c)
    share = torch.linspace(0, 1, 20_001, dtype=torch.float64).unsqueeze(-1)
    values = dual_value(G.unsqueeze(1), torch.stack([share, 1 - share], -1).squeeze(-2), c)
    worst = (G @ d.unsqueeze(-1)).squeeze(-1).amin(-1)
    scale = G.norm(dim=-1).amax(-1) ** 2
    assert ((worst - values.amin(-1)).abs() <= 1e-6 * scale).all()
    best = share[values.argmin(-1)]
    assert ((best > 0) & (best < 1)).any()  # not all at the ends


@pytest.mark.parametrize("c", [0.1, 0.9])
def test_no_random_direction_of_the_ball_is_better(c, sample):
    G = sample("normal", 4, 3, batch=50)
    d, _ = solve(G, c)
    g_0 = G.mean(-2, keepdim=True)
    generator = torch.Generator().manual_seed(0)
    ball = normalize(torch.randn(50, 3000, 3, generator=generator, dtype=torch.float64), dim=-1)
    others = g_0 + c * g_0.norm(dim=-1, keepdim=True) * ball
    worst_of_others = (others @ G.mT).amin(-1).amax(-1)
    worst = (G @ d.unsqueeze(-1)).squeeze(-1).amin(-1)
    assert (worst >= worst_of_others - 1e-12).all()
    assert (worst <= worst_of_others + 0.1).all()  # the search is dense enough to tell


@pytest.mark.parametrize(("T", "P"), [(1, 4), (2, 5), (10, 4)])
def test_c_0_is_the_mean(T, P, sample):
    G = sample("normal", T, P, decades=2)
    torch.testing.assert_close(fm.CAGrad(c=0)(G), G.mean(-2), rtol=1e-12, atol=1e-12)
    for tiny in (1e-9, 1e-20):
        nearly = fm.CAGrad(c=tiny)(G)
        assert (nearly - G.mean(-2)).norm(dim=-1).max() <= 1e-8 * G.norm(dim=-1).max(), tiny


def test_a_large_c_nears_the_direction_of_mgda(sample):
    G = sample("descent", 4, 10)
    cosine = torch.cosine_similarity(fm.CAGrad(c=1e6)(G), fm.MGDA()(G), dim=-1)
    assert (cosine > 1 - 1e-6).all()


def test_a_larger_c_improves_the_worst_task(sample):
    G = sample("normal", 5, 20)
    worst = [(G @ solve(G, c)[0].unsqueeze(-1)).squeeze(-1).amin(-1) for c in (0, 0.1, 0.4, 0.9)]
    for smaller, larger in itertools.pairwise(worst):
        assert (larger > smaller).all()


SQRT_10, SQRT_91 = math.sqrt(10), math.sqrt(91)


@pytest.mark.parametrize(
    ("c", "G", "published"),
    [
        # g₀ = (.5, 1.5): the whole radius c √10/2 goes to the first, worst task
        (0.4, [[1.0, 0.0], [0.0, 3.0]], [0.5 + 0.2 * SQRT_10, 1.5]),
        # g₀ = (1, .5), radius √5: the sphere meets the line 2x = y of equal gain
        (2.0, [[2.0, 0.0], [0.0, 1.0]], [(4 + SQRT_91) / 10, (4 + SQRT_91) / 5]),
        # no d of the ball descends on the first and the last task: the nearest to g₀ that ascends on none
        (0.9, [[1.0, -1.0], [1.0, 0.0], [-1.0, 1.0]], [1 / 6, 1 / 6]),
        (0.9, [[1.0, -1.0], [1.0, 0.0], [1.0, 0.0], [-1.0, 1.0]], [1 / 4, 1 / 4]),
        # opposite rows: back as far as the radius goes, and not beyond 0
        (0.4, [[1.0, 2.0], [-3.0, -6.0]], [-0.6, -1.2]),
        (1.0, [[1.0, 2.0], [-3.0, -6.0]], [0.0, 0.0]),
        (2.0, [[1.0, 2.0], [-3.0, -6.0]], [0.0, 0.0]),
    ],
)
def test_it_gives_the_directions_by_hand(c, G, published):
    G = torch.tensor(G, dtype=torch.float64)
    expected = torch.tensor(published, dtype=torch.float64) / (1 + c)
    torch.testing.assert_close(fm.CAGrad(c=c)(G), expected, rtol=1e-9, atol=1e-9)


def test_float32_is_near_float64(sample):
    G = sample("descent", 10, 100, decades=1).float()
    for c in CS:
        d, expected = fm.CAGrad(c=c)(G).double(), fm.CAGrad(c=c)(G.double())
        assert (d - expected).norm(dim=-1).max() <= 1e-4 * G.norm(dim=-1).max(), c


@pytest.mark.parametrize("T", [4, 10])
def test_there_is_no_duality_gap_with_norms_from_1e_minus_30_to_1e30(T, sample):
    G = sample("normal", T, 30, batch=200, decades=60)
    for c in CS:
        d, w = solve(G, c)
        gap = dual_value(G, w, c).unsqueeze(-1) - (G @ d.unsqueeze(-1)).squeeze(-1)
        assert (gap <= 1e-8 * G.norm(dim=-1) * G.mean(-2).norm(dim=-1, keepdim=True)).all(), c


@pytest.mark.parametrize("c", CS)
def test_zero_rows_allow_no_gain_but_the_rest_does_not_pay_for_it(c):
    g = torch.tensor([1.0, -2.0, 3.0], dtype=torch.float64)
    for zeros in (1, 3):
        G = torch.stack([torch.zeros_like(g)] * zeros + [g])
        d, _ = solve(G, c)
        g_0 = G.mean(0)
        assert (d - g_0).norm() <= c * g_0.norm() * (1 + 1e-9)
        assert g @ d >= 0


def test_it_shows_its_radius():
    assert repr(fm.CAGrad(c=0.25)) == "CAGrad(c=0.25)"
    assert fm.CAGrad().c == 0.4
