"""Nash-MTL and FairGrad meet their fixed point row by row, and are 0 where there is no solution."""

import itertools

import pytest
import torch
from torch.nn.functional import normalize

import flatmtl_lite as fm

ALPHAS = [0.5, 1.0, 2.0, 4.0]
SIZES = [(2, 5), (3, 2), (3, 50), (10, 4), (10, 60), (40, 10), (40, 200)]


def unfairness(G, weights, alpha):
    """Return the error of ⟨gᵢ, d⟩ ~ wᵢ^(-1/α), relative to ‖gᵢ‖‖d‖, at the worst row of each problem.

    The free factor follows from Σ wᵢ⟨gᵢ, d⟩ = ‖d‖².
    """
    d = (weights.unsqueeze(-2) @ G).squeeze(-2)
    share = weights ** (1 - 1 / alpha)
    target = share / share.sum(-1, keepdim=True) * (d * d).sum(-1, keepdim=True) / weights
    miss = (G @ d.unsqueeze(-1)).squeeze(-1) - target
    return (miss.abs() / (G.norm(dim=-1) * d.norm(dim=-1, keepdim=True))).amax(-1)


@pytest.mark.parametrize("alpha", ALPHAS)
@pytest.mark.parametrize(("T", "P"), SIZES)
def test_the_weights_meet_their_fixed_point_row_by_row(T, P, alpha, mixture):
    natures = ["normal", "descent", "no_descent", "some_cancel", "rank_2"]
    G, is_a = mixture(natures, T, P, batch=30 if T < 40 else 8, decades=[0, 6])
    aggregate = fm.NashMTL() if alpha == 1 else fm.FairGrad(alpha=alpha)
    weights = aggregate.weights(G @ G.mT)
    solved = (weights != 0).any(-1)
    assert (weights[solved] > 0).all()
    assert (unfairness(G[solved], weights[solved], alpha) <= 1e-8).all()
    d = (weights.unsqueeze(-2) @ G).squeeze(-2)
    assert ((aggregate(G) - d).norm(dim=-1) <= 1e-7 * G.norm(dim=-1).amax(-1)).all()

    # a solution exists exactly where some direction improves every task
    unit = normalize(G, dim=-1)
    improvable = fm.MGDA()(unit).norm(dim=-1) > 1e-6
    assert solved[improvable].all()
    assert solved[is_a["descent"]].all()
    assert not solved[is_a["no_descent"] | is_a["some_cancel"]].any()


@pytest.mark.parametrize(("T", "P"), [(2, 5), (3, 50), (10, 60), (40, 200)])
def test_the_length_is_the_mean_norm(T, P, sample):
    G = sample("descent", T, P, batch=20, decades=3)
    for alpha in ALPHAS:
        length = fm.FairGrad(alpha)(G).norm(dim=-1)
        torch.testing.assert_close(length, G.norm(dim=-1).mean(-1), rtol=1e-9, atol=0)


def test_alpha_1_is_nash_mtl(sample):
    G = sample("descent", 5, 9, decades=4)
    torch.testing.assert_close(fm.FairGrad(alpha=1.0)(G), fm.NashMTL()(G), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("alpha", ALPHAS)
def test_no_random_direction_of_the_cone_is_fairer(alpha, sample):
    """The largest α-fair utility Σ ⟨gᵢ, d⟩^(1-α)/(1-α) among directions of one length."""
    G = sample("descent", 3, 3)

    def utility(gains):
        return gains.log().sum(-1) if alpha == 1 else (gains ** (1 - alpha)).sum(-1) / (1 - alpha)

    best = utility((G @ normalize(fm.FairGrad(alpha)(G), dim=-1).unsqueeze(-1)).squeeze(-1))
    generator = torch.Generator().manual_seed(0)
    others = normalize(torch.randn(50, 4000, 3, generator=generator, dtype=torch.float64), dim=-1)
    gains = others @ G.mT
    best_other = utility(gains.clamp_min(1e-300)).masked_fill((gains <= 0).any(-1), -torch.inf).amax(-1)
    assert (best >= best_other).all()
    assert (best - best_other <= 0.1 * best.abs() + 0.1).all()  # the search is dense enough to tell


@pytest.mark.parametrize("alpha", ALPHAS)
def test_orthogonal_gradients_give_the_direction_by_hand(alpha):
    """w‖g‖² = w^(-1/α), so w = ‖g‖^(-2α/(1+α))."""
    norms = torch.tensor([[1.0, 8.0], [1e-3, 1e3], [2.0, 3.0]], dtype=torch.float64)
    d = norms ** (1 - 2 * alpha / (1 + alpha))
    expected = d / d.norm(dim=-1, keepdim=True) * norms.mean(-1, keepdim=True)
    torch.testing.assert_close(fm.FairGrad(alpha)(norms.diag_embed()), expected, rtol=1e-12, atol=0)


def test_nash_mtl_bisects_two_gradients_whatever_their_lengths(sample):
    G = sample("normal", 2, 7, decades=6)
    expected = normalize(normalize(G, dim=-1).sum(-2), dim=-1) * G.norm(dim=-1).mean(-1, keepdim=True)
    torch.testing.assert_close(fm.NashMTL()(G), expected, rtol=1e-9, atol=1e-12)


def test_a_larger_alpha_gives_the_task_that_gains_least_more(sample):
    G = sample("descent", 4, 8, decades=1)
    least = [
        (G @ normalize(fm.FairGrad(a)(G), dim=-1).unsqueeze(-1)).squeeze(-1).amin(-1) for a in (0.5, 1, 2, 4)
    ]
    for smaller, larger in itertools.pairwise(least):
        assert (larger > smaller).all()


@pytest.mark.parametrize("name", ["nash_mtl", "fairgrad", "aligned_mtl", "ngdiff"])
def test_zero_rows_are_left_out(name, mixture):
    G, _ = mixture(["descent", "no_descent"], 4, 9, decades=[1])
    with_zeros = torch.cat([G[:, :1], torch.zeros(100, 2, 9, dtype=torch.float64), G[:, 1:]], 1)
    torch.testing.assert_close(fm.aggregator(name)(with_zeros), fm.aggregator(name)(G), rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("name", ["nash_mtl", "fairgrad", "ngdiff"])
def test_the_direction_is_0_where_the_unit_gradients_cancel_to_1e_minus_7(name):
    for rest, length in [(1e-2, 1.0), (1e-5, 1.0), (1e-6, 1.0), (1e-8, 0.0)]:
        G = torch.tensor([[1.0, rest], [-1.0, rest]], dtype=torch.float64)
        expected = torch.tensor([0.0, length], dtype=torch.float64)
        torch.testing.assert_close(fm.aggregator(name)(G), expected, rtol=0, atol=1e-3)


@pytest.mark.parametrize("name", ["nash_mtl", "fairgrad", "ngdiff"])
def test_float32_is_near_float64_and_knows_a_stationary_point(name, sample, mixture):
    for T in (2, 3, 10, 40):
        G = sample("descent", T, 100, decades=2).float()
        d, expected = fm.aggregator(name)(G).double(), fm.aggregator(name)(G.double())
        assert (d - expected).norm(dim=-1).max() <= 1e-3 * G.norm(dim=-1).max(), T
        if name != "ngdiff" or T == 2:  # with more tasks, the sum of NGDiff does not cancel
            G, _ = mixture(["no_descent", "some_cancel"], T, 100, decades=[2])
            assert not fm.aggregator(name)(G.float()).any(), T


@pytest.mark.parametrize("T", [5, 10, 40])
def test_rows_in_a_half_plane_of_lengths_far_apart_take_few_rounds(T, monkeypatch):
    monkeypatch.setattr("flatmtl_lite.aggregation.fairness.ROUNDS", 40)
    generator = torch.Generator().manual_seed(0)
    angle, decades = torch.rand(2, 150, T, generator=generator, dtype=torch.float64)
    angle = 3.13 * (angle - 0.5)
    G = torch.stack([angle.cos(), angle.sin()], -1) * 10 ** (-8 * decades.unsqueeze(-1))
    assert (unfairness(G, fm.FairGrad(4.0).weights(G @ G.mT), 4.0) <= 1e-8).all()


@pytest.mark.parametrize("T", [5, 10])
def test_rows_that_nearly_cancel_of_lengths_far_apart_do_not_go_in_circles(T):
    generator = torch.Generator().manual_seed(1002)
    G = 1e-3 * torch.rand(1000, T, 3, generator=generator, dtype=torch.float64)
    G[..., 2] = 1e-3 * torch.randn(1000, T, generator=generator, dtype=torch.float64)
    G[..., 0] = 1
    G[:, ::2, 0] = -1
    G = G * 10 ** (-16 * torch.rand(1000, T, 1, generator=generator, dtype=torch.float64))
    d = normalize(fm.FairGrad(4.0)(G), dim=-1)
    # undamped, Newton's method goes in circles for one in a hundred to five hundred of these
    assert ((normalize(G, dim=-1) @ d.unsqueeze(-1)).squeeze(-1) > -1e-4).all()


def test_no_stationary_point_slips_through_between_two_roundings():
    generator = torch.Generator().manual_seed(0)
    G = torch.randn(100_000, 3, 8, generator=generator, dtype=torch.float64)
    w = torch.rand(100_000, 2, 1, generator=generator, dtype=torch.float64) + 0.1
    G[:, 2] = -(w * G[:, :2]).sum(1)
    for aggregate in (fm.NashMTL(), fm.FairGrad(2.0)):
        assert not aggregate.weights(G @ G.mT).any()


@pytest.mark.parametrize("alpha", [0.5, 1.0, 4.0])
def test_easy_hard_and_stationary_problems_of_a_batch_do_not_disturb_one_another(alpha, sample):
    G = torch.cat([sample(n, 5, 9, batch=5, decades=4) for n in ("descent", "no_descent", "some_cancel")])
    M, A = G @ G.mT, fm.FairGrad(alpha)
    torch.testing.assert_close(A.weights(M), torch.stack([A.weights(m) for m in M]), rtol=1e-10, atol=0)


def test_gradients_shorter_than_1e_minus_8_of_the_longest_count_as_that_long(mixture):
    G, _ = mixture(["descent"], 3, 8, decades=[20, 60])
    norms = G.norm(dim=-1, keepdim=True)
    clamped = G / norms * norms.clamp_min(1e-8 * norms.amax(-2, keepdim=True))
    direction, expected = (normalize(fm.FairGrad()(g), dim=-1) for g in (G, clamped))
    torch.testing.assert_close(direction, expected, rtol=1e-7, atol=1e-9)
    assert (clamped != G).any()


def test_it_shows_its_alpha():
    assert repr(fm.FairGrad(alpha=1.5)) == "FairGrad(alpha=1.5)"
    assert fm.FairGrad().alpha == 2
