"""Aligned-MTL equals its definition by the singular value decomposition of the gradients."""

import pytest
import torch

import flatmtl_lite as fm


def aligned(G, rank):
    """σ U Vᵀ of the rows (..., T, P), and its mean: the definition, on whole vectors."""
    U, S, Vh = torch.linalg.svd(G, full_matrices=False)
    rows = S[..., rank - 1 : rank, None] * (U[..., :rank] @ Vh[..., :rank, :])
    return rows.mean(-2)


@pytest.mark.parametrize(
    ("nature", "T", "P", "rank"),
    [
        *[("normal", T, P, T) for T, P in [(2, 5), (3, 50), (10, 60), (40, 200)]],
        *[("descent", T, P, T) for T, P in [(2, 5), (3, 50), (10, 60), (40, 200)]],
        *[("no_descent", T, P, T - 1) for T, P in [(2, 5), (3, 50), (10, 60), (40, 200)]],
        *[("rank_2", T, 30, 2) for T in (3, 10, 40)],
        ("normal", 3, 2, 2),
        ("normal", 40, 10, 10),
    ],
)
def test_the_direction_is_its_definition_by_singular_values(nature, T, P, rank, mixture):
    G, _ = mixture([nature], T, P, batch=30 if T < 40 else 8, decades=[0, 6])
    d, expected = fm.AlignedMTL()(G), aligned(G, rank)
    smallest = torch.linalg.svdvals(G)[..., rank - 1]
    assert ((d - expected).norm(dim=-1) <= 1e-8 * smallest).all()
    if rank == T:  # the mean of T orthogonal vectors of that length
        torch.testing.assert_close(d.norm(dim=-1), smallest / T**0.5, rtol=1e-8, atol=0)


@pytest.mark.parametrize("T", [2, 3, 10])
def test_orthogonal_gradients_get_the_length_of_the_shortest(T):
    norms = torch.arange(1.0, T + 1, dtype=torch.float64)
    torch.testing.assert_close(fm.AlignedMTL()(norms.diag()), torch.full_like(norms, 1 / T))


@pytest.mark.parametrize("ratio", [1e-4, 1e-8, 1e-12])
def test_the_length_keeps_its_digits_however_far_apart_the_norms_are(ratio):
    """‖d‖ = σ/√2, and σ² = (t - √(t² - 4D))/2 for trace t and determinant D, without that cancellation."""
    G = torch.tensor([[1.0, 0.0], [0.6 * ratio, 0.8 * ratio]], dtype=torch.float64)
    trace, determinant = 1 + ratio**2, (0.8 * ratio) ** 2
    smallest = (2 * determinant / (trace + (trace**2 - 4 * determinant) ** 0.5)) ** 0.5
    for rows in (G, G.flip(0)):
        assert fm.AlignedMTL()(rows).norm().item() == pytest.approx(smallest / 2**0.5, rel=1e-13, abs=0)


def test_gradients_of_rank_1_give_the_mean(sample):
    G = sample("normal", 4, 1) * sample("normal", 1, 7)
    torch.testing.assert_close(fm.AlignedMTL()(G), G.mean(-2), rtol=1e-8, atol=1e-10)


def test_the_direction_jumps_where_the_rank_falls_as_documented():
    for angle, expected in [(1e-3, 1e-3 / 2), (1e-9, 1.0)]:
        G = torch.tensor([[1.0, angle / 2], [1.0, -angle / 2]], dtype=torch.float64)
        assert fm.AlignedMTL()(G).norm().item() == pytest.approx(expected, rel=1e-6)


def test_the_direction_may_ascend_on_a_single_task_but_never_on_the_mean(sample):
    G = sample("no_descent", 3, 8, decades=2)
    d = fm.AlignedMTL()(G)
    assert ((G @ d.unsqueeze(-1)).amin((-1, -2)) < 0).any()
    assert ((G.mean(-2) * d).sum(-1) >= 0).all()
