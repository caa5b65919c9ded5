"""UPGrad is the mean of projections, and each of them meets its optimality conditions."""

import itertools

import pytest
import torch
from torch.nn.functional import normalize

import flatmtl_lite as fm
from flatmtl_lite.aggregation.cone import cone_minimum

EPS = torch.finfo(torch.float64).eps


@pytest.mark.parametrize(
    ("T", "P"), [(2, 1), (2, 5), (3, 2), (3, 50), (10, 4), (10, 60), (40, 10), (40, 200)]
)
def test_the_projections_are_optimal_row_by_row(T, P, mixture):
    """The projection of g opposes no gradient, is p = g + Σ vⱼgⱼ, v >= 0, and vⱼ > 0 only if ⟨gⱼ, p⟩ = 0."""
    natures = ["normal", "descent", "no_descent", "rank_2"]
    G, is_a = mixture(natures, T, P, batch=30 if T < 40 else 3, decades=[0, 6])
    unit = normalize(G, dim=-1)
    C = unit @ unit.mT
    v = cone_minimum(C.unsqueeze(-3), -C, EPS)
    gains = (unit + v @ unit) @ unit.mT
    assert (v >= 0).all()
    assert (gains >= -1e-8).all()
    assert (v * gains).abs().max() <= 1e-8
    projections = (unit + v @ unit) * G.norm(dim=-1, keepdim=True)
    size = G.norm(dim=-1).amax(-1)
    assert ((fm.UPGrad()(G) - projections.mean(-2)).norm(dim=-1) <= 1e-8 * size).all()
    assert ((unit @ fm.UPGrad()(G).unsqueeze(-1)).squeeze(-1) >= -1e-8 * size.unsqueeze(-1)).all()
    if T == 10 and P == 4:
        assert (v[is_a["normal"]] > 0).any()


def projection_by_trying_every_face(g, G):
    """Return the nearest point to g with ⟨gⱼ, p⟩ >= 0. It is orthogonal to some rows of G (T, P)."""
    best = torch.zeros_like(g)
    for size in range(len(G) + 1):
        for rows in itertools.combinations(range(len(G)), size):
            face = G[list(rows)]
            p = g - torch.linalg.pinv(face) @ (face @ g) if size else g
            if (G @ p >= -1e-10).all() and (g - p).norm() < (g - best).norm():
                best = p
    return best


@pytest.mark.parametrize(("T", "P"), [(2, 3), (3, 3), (4, 6), (5, 2)])
def test_trying_every_face_gives_the_same_direction(T, P, mixture):
    for G in mixture(["normal", "descent"], T, P, batch=6, decades=[1])[0]:
        expected = torch.stack([projection_by_trying_every_face(g, G) for g in G]).mean(0)
        assert (fm.UPGrad()(G) - expected).norm() <= 1e-8 * G.norm(dim=-1).max()


@pytest.mark.parametrize(
    ("G", "expected"),
    [
        ([[3.0, 1.0], [1.0, 0.0]], [2.0, 0.5]),  # no conflict: the mean
        ([[1.0, 0.0], [-1.0, 1.0]], [0.25, 0.75]),  # as PCGrad
        # each of three at 120° is projected to 0: the cone that opposes none is {0}
        ([[1.0, 0.0], [-0.5, 0.75**0.5], [-0.5, -(0.75**0.5)]], [0.0, 0.0]),
        # (.5, 0, .5), (0, .5, .5) and (0, 0, 1)
        ([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [-1.0, -1.0, 1.0]], [1 / 6, 1 / 6, 2 / 3]),
    ],
)
def test_it_gives_the_directions_by_hand(G, expected):
    G, expected = torch.tensor(G, dtype=torch.float64), torch.tensor(expected, dtype=torch.float64)
    torch.testing.assert_close(fm.UPGrad()(G), expected, rtol=1e-9, atol=1e-9)


def test_it_is_the_mean_without_conflict_and_pcgrad_for_two(sample):
    G = sample("normal", 2, 9, decades=3)
    torch.testing.assert_close(fm.UPGrad()(G), fm.PCGrad()(G), rtol=1e-9, atol=1e-9)
    G = sample("normal", 5, 9).abs()
    torch.testing.assert_close(fm.UPGrad()(G), G.mean(-2), rtol=1e-12, atol=1e-12)
