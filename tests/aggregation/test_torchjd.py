"""Directions agree with TorchJD. Its lengths have other scales, so the tests compare cosines."""

import pytest
import torch
import torchjd.aggregation as torchjd
import torchjd.linalg as torchjd_linalg

import flatmtl_lite as fm


def agree(ours, theirs, G):
    directions = torch.stack([ours(g) for g in G])
    expected = torch.stack([theirs(g) for g in G])
    assert (expected.norm(dim=-1) > 1e-6).all()
    assert (torch.cosine_similarity(directions, expected, dim=-1) > 1 - 1e-6).all()


@pytest.mark.parametrize("nature", ["normal", "descent"])
@pytest.mark.parametrize(("T", "P"), [(2, 3), (3, 10)])
def test_mgda_agrees(T, P, nature, sample):
    # its Frank-Wolfe iteration needs more rounds than its default for this accuracy
    agree(fm.MGDA(), torchjd.MGDA(epsilon=1e-9, max_iters=10_000), sample(nature, T, P, batch=4))


@pytest.mark.parametrize("P", [2, 20])
def test_pcgrad_of_two_tasks_agrees(P, mixture):
    agree(fm.PCGrad(), torchjd.PCGrad(), mixture(["normal"], 2, P, batch=20, decades=[0, 2])[0])


@pytest.mark.parametrize(("T", "P"), [(2, 5), (3, 10), (6, 40)])
def test_imtl_g_agrees_where_its_weights_sum_to_more_than_0(T, P, mixture):
    G, _ = mixture(["normal"], T, P, batch=25, decades=[0, 2])
    positive = fm.IMTLG().weights(G @ G.mT).sum(-1) > 1e-3
    assert positive.sum() >= 20
    agree(fm.IMTLG(), torchjd.IMTLG(), G[positive])


@pytest.fixture
def in_the_same_orders(monkeypatch):
    """Let the peer go through the other tasks as our method will: for each task in turn, over all calls."""

    def use(twin, T, calls, of_all):
        orders = []
        for _ in range(calls):
            for i, order in enumerate(twin.others(T).argmax(-1).mT):
                orders.append([*order.tolist(), i] if of_all else (order - (order > i).long()).tolist())
        monkeypatch.setattr(torch, "randperm", lambda n: torch.tensor(orders.pop(0)))
        return orders

    return use


@pytest.mark.parametrize("T", [3, 6])
def test_pcgrad_in_the_same_orders_agrees(T, sample, in_the_same_orders):
    G = sample("normal", T, 8, batch=10)
    left = in_the_same_orders(fm.PCGrad(), T, len(G), of_all=True)
    agree(fm.PCGrad(), torchjd.PCGrad(), G)
    assert left == []


@pytest.mark.parametrize("T", [3, 6])
def test_gradvac_in_the_same_orders_agrees(T, sample, in_the_same_orders):
    G = sample("normal", T, 8, batch=10)
    left = in_the_same_orders(fm.GradVac(), T, len(G), of_all=False)
    agree(fm.GradVac(), torchjd.GradVac(eps=0.0), G)
    assert left == []


def test_mean_agrees(sample):
    agree(fm.Mean(), torchjd.Mean(), sample("normal", 4, 9, decades=2))


@pytest.mark.parametrize("c", [0.1, 0.4, 0.9])
@pytest.mark.parametrize(("T", "P"), [(2, 3), (3, 10), (6, 40)])
def test_cagrad_agrees(T, P, c, sample):
    agree(fm.CAGrad(c=c), torchjd.CAGrad(c=c, norm_eps=1e-9), sample("normal", T, P, batch=6))


@pytest.mark.parametrize(("T", "P"), [(2, 3), (3, 10), (6, 40)])
def test_upgrad_agrees(T, P, mixture):
    projector = torchjd_linalg.QuadprogProjector(norm_eps=1e-12, reg_eps=1e-12)
    G, _ = mixture(["normal", "descent"], T, P, batch=6, decades=[0, 1])
    agree(fm.UPGrad(), torchjd.UPGrad(projector=projector), G)


@pytest.mark.parametrize(("T", "P"), [(2, 3), (3, 10), (6, 40)])
def test_dual_proj_agrees(T, P, mixture):
    projector = torchjd_linalg.QuadprogProjector(norm_eps=1e-12, reg_eps=1e-12)
    G, _ = mixture(["normal", "descent"], T, P, batch=6, decades=[0, 1])
    agree(fm.DualProj(), torchjd.DualProj(projector=projector), G)
    torch.testing.assert_close(fm.DualProj()(G[0]), torchjd.DualProj(projector=projector)(G[0]))


@pytest.mark.parametrize(("T", "P"), [(2, 5), (3, 10), (6, 40), (5, 3)])
def test_config_is_the_sum_of_projections_divided_by_the_number_of_tasks(T, P, mixture):
    G, _ = mixture(["normal", "descent"], T, P, batch=20, decades=[0, 2])
    expected = torch.stack([torchjd.ConFIG()(g) for g in G]) / T
    error = (fm.ConFIG()(G) - expected).norm(dim=-1)
    assert (error <= 1e-8 * G.norm(dim=-1).amax(-1)).all()


@pytest.mark.filterwarnings("ignore:You are solving a parameterized problem:UserWarning")
@pytest.mark.parametrize(("T", "P"), [(2, 3), (3, 10), (6, 40)])
def test_nash_mtl_agrees(T, P, sample):
    """Its rounds of convex programs end at residuals of 1e-3 or changes of 1e-6."""
    G = sample("descent", T, P, batch=4)
    directions = fm.NashMTL()(G)
    expected = torch.stack([torchjd.NashMTL(n_tasks=T, optim_niter=100)(g) for g in G])
    assert (torch.cosine_similarity(directions, expected, dim=-1) > 1 - 1e-4).all()


@pytest.mark.parametrize("alpha", [0.5, 1.0, 2.0])
@pytest.mark.parametrize(("T", "P"), [(2, 3), (3, 10), (6, 40)])
def test_fairgrad_agrees(T, P, alpha, sample):
    """Its least squares end at relative changes of 1e-8."""
    agree(fm.FairGrad(alpha=alpha), torchjd.FairGrad(alpha=alpha), sample("descent", T, P, batch=8))


@pytest.mark.parametrize(("nature", "T", "P"), [("normal", 2, 5), ("normal", 6, 40), ("rank_2", 5, 9)])
def test_aligned_mtl_agrees(nature, T, P, mixture):
    G, _ = mixture([nature], T, P, batch=20, decades=[0, 2])
    agree(fm.AlignedMTL(), torchjd.AlignedMTL(), G)
    lengths = torch.stack([torchjd.AlignedMTL()(g).norm() for g in G])
    torch.testing.assert_close(fm.AlignedMTL()(G).norm(dim=-1), lengths, rtol=1e-6, atol=0)


@pytest.mark.parametrize("beta", [0.1, 0.5])
def test_gradvac_of_two_tasks_over_several_calls_agrees(beta, sample):
    G = sample("descent", 2, 8, batch=12)
    agree(fm.GradVac(beta), torchjd.GradVac(beta, eps=0.0), G)
    A = fm.GradVac(beta)
    differs = [not A(g).allclose(fm.PCGrad()(g)) for g in G]
    assert sum(differs) >= 3  # some gradients turn to goals other than 0


def test_graddrop_with_the_same_draws_is_their_sum_divided_by_the_number_of_tasks(sample):
    G = sample("normal", 4, 50, batch=1)[0].float()
    torch.manual_seed(3)
    expected = torchjd.GradDrop()(G) / 4
    torch.testing.assert_close(fm.GradDrop(torch.Generator().manual_seed(3))(G), expected)


@pytest.mark.parametrize("eta", [0.01, 1.0])
def test_excess_mtl_with_the_first_call_as_the_baseline_agrees(eta, sample):
    """TorchJD adds 1e-7 to the squares and to the baseline, so the gradients are long."""
    G = 100 * sample("normal", 4, 8, batch=12)
    ours, theirs = fm.ExcessMTL(eta), torchjd.ExcessMTL(robust_step_size=eta, n_warmup_steps=1)
    for g in G:
        torch.testing.assert_close(ours(g), theirs(g))
