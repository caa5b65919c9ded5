"""DualProj is the projection of the mean gradient onto the directions that ascend on no task."""

import pytest
import torch
from torch.nn.functional import normalize

import flatmtl_lite as fm


@pytest.mark.parametrize(
    ("G", "expected"),
    [
        ([[3.0, 1.0], [1.0, 0.0]], [2.0, 0.5]),  # no conflict: the mean
        ([[1.0, 0.0], [-1.0, 1.0]], [0.0, 0.5]),  # the mean itself ascends on no task
        ([[4.0, 0.0], [-1.0, 1.0]], [1.0, 1.0]),  # the mean (1.5, 0.5) without its part along (-1, 1)
        ([[1.0, 0.0], [-0.5, 0.75**0.5], [-0.5, -(0.75**0.5)]], [0.0, 0.0]),
        # the mean (1, 1, -1) fails the third alone; without its part along (0, 0, 1) it fails none
        ([[3.0, 0.0, -2.0], [0.0, 3.0, -2.0], [0.0, 0.0, 1.0]], [1.0, 1.0, 0.0]),
    ],
)
def test_it_gives_the_directions_by_hand(G, expected):
    G, expected = torch.tensor(G, dtype=torch.float64), torch.tensor(expected, dtype=torch.float64)
    torch.testing.assert_close(fm.DualProj()(G), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    ("T", "P"), [(2, 1), (2, 5), (3, 2), (3, 50), (10, 4), (10, 60), (40, 10), (40, 200)]
)
def test_the_projection_is_optimal_row_by_row(T, P, mixture):
    """d = g₀ + Σ vⱼ gⱼ/‖gⱼ‖, v >= 0, ascends on no task, and vⱼ > 0 only if ⟨gⱼ, d⟩ = 0."""
    natures = ["normal", "descent", "no_descent", "rank_2"]
    G, is_a = mixture(natures, T, P, batch=30 if T < 40 else 10, decades=[0, 6])
    d, mean, unit = fm.DualProj()(G), G.mean(-2), normalize(G, dim=-1)
    size = G.norm(dim=-1).amax(-1, keepdim=True)
    v = (fm.DualProj().weights(G @ G.mT) - 1 / T) * G.norm(dim=-1)
    assert ((d - mean - (v.unsqueeze(-2) @ unit).squeeze(-2)).norm(dim=-1, keepdim=True) <= 1e-8 * size).all()
    gains = (unit @ d.unsqueeze(-1)).squeeze(-1)
    assert (v >= -1e-8 * size).all()
    assert (gains >= -1e-8 * size).all()
    assert ((v * gains).abs() <= 1e-8 * size * size).all()
    if T > 2:
        assert (v[is_a["normal"]] > 1e-3).any()


def test_no_direction_that_ascends_on_no_task_is_nearer_to_the_mean(sample):
    """PCGrad of two tasks, UPGrad and MGDA ascend on no task either."""
    G = sample("normal", 2, 5, decades=1)
    mean, conflict = G.mean(-2), (G[:, 0] * G[:, 1]).sum(-1) < 0
    distance = (fm.DualProj()(G) - mean).norm(dim=-1)
    for other in (fm.PCGrad(), fm.UPGrad(), fm.MGDA()):
        assert (distance <= (other(G) - mean).norm(dim=-1) + 1e-9).all()
    assert (distance[conflict] < (fm.UPGrad()(G) - mean).norm(dim=-1)[conflict] - 1e-6).all()


def test_it_is_the_mean_without_conflict(sample):
    G = sample("normal", 5, 9).abs()
    torch.testing.assert_close(fm.DualProj()(G), G.mean(-2), rtol=1e-12, atol=1e-12)
