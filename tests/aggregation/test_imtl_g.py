"""IMTL-G has the same projection onto every unit gradient; dividing by Σβ would turn it round."""

import pytest
import torch

import flatmtl_lite as fm


def projections(G, d):
    return (torch.nn.functional.normalize(G, dim=-1) @ d.unsqueeze(-1)).squeeze(-1)


@pytest.mark.parametrize(("T", "P"), [(2, 2), (2, 9), (3, 3), (3, 40), (10, 12), (10, 200), (40, 200)])
def test_the_projections_are_equal_and_positive(T, P, mixture):
    G, _ = mixture(["normal", "descent"], T, P, decades=[0, 6])
    d = fm.IMTLG()(G)
    p = projections(G, d)
    assert (p > 0).all()
    assert (p - p.mean(-1, keepdim=True)).abs().amax(-1).le(1e-8 * d.norm(dim=-1)).all()
    weights = fm.IMTLG().weights(G @ G.mT)
    torch.testing.assert_close(weights.abs().sum(-1), torch.ones(200, dtype=torch.float64))


@pytest.mark.parametrize(
    ("nature", "T", "P"),
    [
        *[("normal", T, P) for T, P in [(3, 2), (10, 4), (40, 10)]],
        *[("descent", T, P) for T, P in [(3, 2), (10, 4), (40, 10)]],
        *[("rank_2", T, 30) for T in (3, 10, 40)],
        *[("no_descent", T, P) for T, P in [(3, 50), (10, 60), (40, 200)]],
    ],
)
def test_dependent_gradients_get_the_least_squares_fit_of_equal_projections(nature, T, P, mixture):
    """The normal equations UᵀU d = κ Uᵀ1 of the unit gradients U, κ > 0, row by row of Uᵀ."""
    G, _ = mixture([nature], T, P, decades=[0, 6])
    d, U = fm.IMTLG()(G), torch.nn.functional.normalize(G, dim=-1)
    left = torch.nn.functional.normalize((U.mT @ projections(G, d).unsqueeze(-1)).squeeze(-1), dim=-1)
    assert (left - torch.nn.functional.normalize(U.sum(-2), dim=-1)).abs().max() <= 1e-8


# The third gradient is short and lies near the plane of the others; by hand, β = (55, 55, -1000)/49.
TURNING = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.006, 0.006, 0.007]], dtype=torch.float64)


def test_it_gives_the_direction_by_hand_where_the_sum_of_the_weights_is_negative():
    weights = fm.IMTLG().weights(TURNING @ TURNING.mT)
    expected = torch.tensor([55.0, 55.0, -1000.0], dtype=torch.float64) / 1110
    torch.testing.assert_close(weights, expected, rtol=1e-9, atol=0)
    expected = torch.tensor([49.0, 49.0, -7.0], dtype=torch.float64) / 1110
    torch.testing.assert_close(fm.IMTLG()(TURNING), expected, rtol=1e-9, atol=0)


def test_dividing_by_the_sum_as_published_ascends_on_every_task_where_ours_descends():
    ours = fm.IMTLG()(TURNING)
    weights = fm.IMTLG().weights(TURNING @ TURNING.mT)
    as_published = (weights / weights.sum()) @ TURNING
    assert weights.sum() < 0
    assert (TURNING @ as_published < 0).all()
    assert (TURNING @ ours > 0).all()


def test_two_tasks_have_the_weights_by_hand(sample):
    """For T = 2 the weights are the other's norm over the sum of norms: positive, as published."""
    G = sample("normal", 2, 6, decades=4)
    norms = G.norm(dim=-1)
    weights = fm.IMTLG().weights(G @ G.mT)
    torch.testing.assert_close(weights, norms.flip(-1) / norms.sum(-1, keepdim=True), rtol=1e-8, atol=0)


def test_zero_rows_are_left_out(sample):
    G = sample("normal", 4, 9)
    with_zeros = G.clone()
    with_zeros[:, 1] = 0
    torch.testing.assert_close(fm.IMTLG()(with_zeros), fm.IMTLG()(G[:, [0, 2, 3]]), rtol=1e-9, atol=1e-12)


def test_zero_rows_are_left_out_in_float32_at_any_rank(sample):
    """With a zero row another path computes the Gramian. It must know its accuracy too."""
    G = sample("normal", 2, 9).float()
    G = torch.cat([G, G[:, :1] + G[:, 1:]], 1)
    with_zero = torch.cat([torch.zeros_like(G[:, :1]), G], 1)
    torch.testing.assert_close(fm.IMTLG()(with_zero), fm.IMTLG()(G), rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize("T", [3, 5])
def test_dependent_gradients_that_allow_it_still_have_equal_projections(T, sample):
    """Copies of tasks have rank 2, yet ⟨gᵢ, d⟩ = ‖gᵢ‖ has a solution, and the pseudo-inverse gives it."""
    G = sample("normal", 2, 6)[:, [0, 1, 0, 1, 0][:T]] * torch.arange(1.0, T + 1).unsqueeze(-1)
    p = projections(G, fm.IMTLG()(G))
    assert (p > 0).all()
    assert (p - p[:, :1]).abs().max() <= 1e-8


@pytest.mark.parametrize("T", [2, 3, 4, 5, 6, 7])
def test_the_direction_is_0_where_the_unit_gradients_sum_to_0(T):
    """Evenly round the circle: equal projections sum to 0, so all are 0."""
    turn = torch.arange(10, dtype=torch.float64).unsqueeze(-1)
    angles = turn + torch.arange(T, dtype=torch.float64) * (2 * torch.pi / T)
    for dtype in (torch.float64, torch.float32):
        G = torch.stack([angles.cos(), angles.sin()], -1).to(dtype)
        lengths = torch.arange(1.0, T + 1, dtype=dtype).unsqueeze(-1)
        assert fm.IMTLG()(G).norm(dim=-1).max() <= 1e-6
        assert fm.IMTLG()(lengths * G).norm(dim=-1).max() <= 1e-5


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_the_direction_is_0_for_opposite_gradients(dtype, sample):
    G = sample("no_descent", 2, 9).to(dtype)
    assert (fm.IMTLG()(G).norm(dim=-1) <= 1e-5 * G.norm(dim=-1).amax(-1)).all()


@pytest.mark.parametrize("T", [2, 3, 10])
def test_float32_has_equal_projections_too(T, sample):
    G = sample("descent", T, 100, decades=2).float()
    d = fm.IMTLG()(G).double()
    p = projections(G.double(), d)
    assert (p - p.mean(-1, keepdim=True)).abs().amax(-1).le(1e-4 * d.norm(dim=-1)).all()
