"""ConicGrad meets the optimality conditions of its max-min problem and gives pinned values."""

import pytest
import torch
from torch.nn.functional import normalize

import flatmtl_lite as fm

CS = [0.0, 0.25, 0.5, 0.9]


def least_bound(G, c):
    """Return an upper bound on minᵢ ⟨gᵢ, x⟩ over ‖x‖ <= 1, ⟨ĝ₀, x⟩ >= c, from the multipliers in our weights.

    For any w of the simplex and μ >= 0, no such x does better than ‖g_w + μĝ₀‖ - μc. Our weights, up to a
    factor, are w + m with m = μ/(T‖g₀‖): along that line the bound is least at m = 0 or at min w = 0.
    """
    mean, T = G.mean(-2), G.shape[-2]
    length = mean.norm(dim=-1, keepdim=True)
    weights = fm.ConicGrad(c).weights(G @ G.mT)
    bounds = []
    for m in (torch.zeros_like(length), weights.amin(-1, keepdim=True).clamp_min(0)):
        w = (weights - m).clamp_min(0)
        factor = w.sum(-1, keepdim=True)
        mu = m * T * length / factor
        g = (w.unsqueeze(-2) @ G).squeeze(-2) / factor + mu * mean / length
        bounds.append(g.norm(dim=-1) - c * mu.squeeze(-1))
    return torch.stack(bounds).nan_to_num(torch.inf).amin(0)


def assert_optimal(G, c, improvable):
    d, mean = fm.ConicGrad(c)(G), G.mean(-2)
    torch.testing.assert_close(d.norm(dim=-1), mean.norm(dim=-1), rtol=1e-8, atol=0)
    assert (torch.cosine_similarity(d, mean, dim=-1) >= c - 1e-8).all()
    assert ((d - mean).norm(dim=-1) <= 1e-12 * mean.norm(dim=-1))[~improvable].all()
    gains = (G @ normalize(d, dim=-1).unsqueeze(-1)).squeeze(-1)
    gap = (least_bound(G, c).unsqueeze(-1) - gains) / G.norm(dim=-1)
    assert (gap[improvable] <= 1e-8).all()


@pytest.mark.parametrize("c", CS)
@pytest.mark.parametrize(("T", "P"), [(2, 5), (3, 2), (3, 50), (10, 4), (10, 60), (40, 10), (40, 200)])
def test_the_direction_stays_in_the_cone_and_leaves_no_duality_gap(T, P, c, mixture):
    natures = ["normal", "descent", "no_descent", "rank_2"]
    G, is_a = mixture(natures, T, P, batch=10 if T < 40 else 4, decades=[0, 6])
    improvable = (fm.MGDA()(G) != 0).any(-1)
    assert improvable[is_a["descent"]].all()
    assert not improvable[is_a["no_descent"]].any()
    assert_optimal(G, c, improvable)


@pytest.mark.parametrize(("T", "P"), [(2, 3), (3, 4), (4, 6), (6, 10), (10, 20)])
def test_it_is_optimal_on_20000_problems(T, P, sample):
    """The rows without their part along the mean are dependent: where the search rounds, a few go wrong."""
    G = sample("normal", T, P, batch=20_000)
    for c, share in [(0.7, G[:5000]), (0.9, G), (0.97, G[:5000])]:
        assert_optimal(share, c, torch.ones(len(share), dtype=torch.bool))


@pytest.mark.parametrize(("T", "P"), [(4, 3), (10, 20)])
@pytest.mark.parametrize("nature", ["integers", "near duplicates"])
def test_it_is_optimal_on_integers_and_near_duplicates(nature, T, P):
    generator = torch.Generator().manual_seed(0)
    if nature == "integers":
        G = torch.randint(-1, 2, (3000, T, P), generator=generator).double()
    else:
        G, noise = torch.randn(2, 1500, T, P, generator=generator, dtype=torch.float64)
        apart = 10.0 ** -torch.randint(1, 12, (1500, 1, 1), generator=generator)
        G = G[:, torch.arange(T) % (T // 2)] + apart * noise
    # directions that cancel further are off by rounding
    clear = fm.MGDA()(normalize(G, dim=-1)).norm(dim=-1) > 1e-3
    assert clear.sum() > 100
    for c in (0.5, 0.7, 0.9):
        assert_optimal(G[clear], c, torch.ones(int(clear.sum()), dtype=torch.bool))


@pytest.mark.parametrize("c", CS)
def test_no_random_direction_of_the_cone_is_better(c, sample):
    G = sample("descent", 3, 3)
    axis = normalize(G.mean(-2, keepdim=True), dim=-1)
    generator = torch.Generator().manual_seed(0)
    others = normalize(torch.randn(50, 4000, 3, generator=generator, dtype=torch.float64), dim=-1)
    within = (others * axis).sum(-1) >= c
    best_other = (others @ G.mT).amin(-1).masked_fill(~within, -torch.inf).amax(-1)
    best = (G @ normalize(fm.ConicGrad(c)(G), dim=-1).unsqueeze(-1)).squeeze(-1).amin(-1)
    assert (best >= best_other).all()
    assert (best - best_other <= 0.2).all()  # the search is dense enough to tell


@pytest.mark.parametrize(
    ("c", "expected"),
    [
        # g₀ = (.5, 1.5); MGDA's direction (.9, .3) has cosine .6 with it
        (0.5, [1.5, 0.5]),
        (0.8, [1.3, 0.9]),  # turned from g₀ by the 3-4-5 triangle towards the worst, first task
        (1.0, [0.5, 1.5]),
    ],
)
def test_it_gives_the_directions_by_hand(c, expected):
    G = torch.tensor([[1.0, 0.0], [0.0, 3.0]], dtype=torch.float64)
    expected = torch.tensor(expected, dtype=torch.float64)
    torch.testing.assert_close(fm.ConicGrad(c)(G), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("beyond", [-1e-7, 1e-7])
def test_the_cone_is_kept_also_where_it_only_just_binds(beyond):
    G = torch.tensor([[1.0, 0.0], [0.0, 3.0]], dtype=torch.float64)
    cosine = torch.cosine_similarity(fm.ConicGrad(0.6 + beyond)(G), G.mean(-2), dim=-1)
    assert cosine.item() == pytest.approx(0.6 + max(beyond, 0.0), abs=1e-10)


def test_c_1_is_the_mean(sample):
    G = sample("normal", 5, 9, decades=2)
    torch.testing.assert_close(fm.ConicGrad(c=1)(G), G.mean(-2), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("c", CS)
def test_a_zero_row_counts_in_the_mean_and_is_never_the_worst(c, sample):
    G = sample("descent", 3, 8, decades=1)
    with_zero = torch.cat([G, torch.zeros(50, 1, 8, dtype=torch.float64)], 1)
    torch.testing.assert_close(fm.ConicGrad(c)(with_zero), 0.75 * fm.ConicGrad(c)(G), rtol=1e-8, atol=1e-10)


def test_it_shows_its_cosine():
    assert repr(fm.ConicGrad(c=0.25)) == "ConicGrad(c=0.25)"
    assert fm.ConicGrad().c == 0.5
