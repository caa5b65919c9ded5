"""MGDA gives the shortest vector of the convex hull, by its own optimality conditions."""

import itertools

import pytest
import torch

import flatmtl_lite as fm


def shortage(G, d):
    """Return the shortfall of ⟨gᵢ, d⟩ >= ‖d‖², relative to ‖gᵢ‖‖d‖, at the worst row of each problem."""
    length = d.norm(dim=-1, keepdim=True)
    size = G.norm(dim=-1) * length
    short = length**2 - (G @ d.unsqueeze(-1)).squeeze(-1)
    return torch.where(size > 0, short / size, 0.0).amax(-1)


def shortest_by_trying_every_face(G):
    """Return the shortest vector of the hull of the rows of G (T, P): the best over all sub-simplices."""
    candidates = []
    for size in range(1, len(G) + 1):
        for rows in itertools.combinations(range(len(G)), size):
            face = G[list(rows)]
            system = torch.ones(size + 1, size + 1, dtype=G.dtype)
            system[:size, :size] = face @ face.mT
            system[size, size] = 0
            right = torch.zeros(size + 1, 1, dtype=G.dtype)
            right[size] = 1
            w = torch.linalg.lstsq(system, right, driver="gelsd").solution[:size, 0]
            if (w >= 0).all():
                candidates.append(w @ face / w.sum())
    return min(candidates, key=torch.linalg.vector_norm)


@pytest.mark.parametrize(
    ("T", "P"), [(2, 1), (2, 5), (3, 2), (3, 50), (10, 4), (10, 60), (40, 10), (40, 200)]
)
def test_the_direction_is_optimal_row_by_row(T, P, mixture):
    natures = ["normal", "descent", "no_descent", "rank_2"]
    G, is_a = mixture(natures, T, P, batch=50 if T < 40 else 15, decades=[0, 6])
    d = fm.MGDA()(G)
    assert (shortage(G, d) <= 1e-8).all()
    weights = fm.MGDA().weights(G @ G.mT)
    assert (weights >= 0).all()
    # a direction, or exactly 0 where there is none
    total = weights.sum(-1)
    assert ((total - 1).abs().le(1e-12) | (d == 0).all(-1)).all()
    assert (d != 0).any(-1)[is_a["descent"]].all()
    assert (d == 0)[is_a["no_descent"]].all()


@pytest.mark.parametrize(("T", "P"), [(2, 3), (3, 3), (5, 2), (5, 8), (7, 5)])
def test_trying_every_face_gives_the_same_direction(T, P, mixture):
    G, _ = mixture(["normal", "descent"], T, P, batch=8, decades=[1])
    d = fm.MGDA()(G)
    expected = torch.stack([shortest_by_trying_every_face(g) for g in G])
    assert (d - expected).norm(dim=-1).max() <= 1e-7 * G.norm(dim=-1).max()


def test_two_tasks_have_a_closed_form(mixture):
    G, _ = mixture(["normal"], 2, 6, batch=2000, decades=[0, 1, 6])
    g, h = G.unbind(-2)
    share = (((h - g) * h).sum(-1) / ((h - g) ** 2).sum(-1)).clamp(0, 1)
    weights = fm.MGDA().weights(G @ G.mT)
    torch.testing.assert_close(weights, torch.stack([share, 1 - share], -1), rtol=1e-8, atol=1e-12)
    assert 0 < ((share > 0) & (share < 1)).double().mean() < 1  # both ends and insides occur


@pytest.mark.parametrize(
    ("G", "expected"),
    [
        ([[3.0, 0.0], [0.0, 4.0]], [1.92, 1.44]),  # foot of the height of the 3-4-5 triangle
        ([[1.0, 0.0], [2.0, 1.0]], [1.0, 0.0]),  # an end of the segment
        ([[1.0, 1.0], [1.0, -3.0]], [1.0, 0.0]),
        ([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]], [1 / 3, 1 / 3, 1 / 3]),
        ([[2.0, 1.0], [2.0, -1.0], [3.0, 0.0]], [2.0, 0.0]),  # the third row is inactive
        ([[1.0, 0.0], [-1.0, 1.0], [0.0, -1.0]], [0.0, 0.0]),  # 0 inside the hull
        ([[1.0, 2.0], [0.0, 0.0]], [0.0, 0.0]),
    ],
)
def test_it_gives_the_directions_by_hand(G, expected):
    G, expected = torch.tensor(G, dtype=torch.float64), torch.tensor(expected, dtype=torch.float64)
    torch.testing.assert_close(fm.MGDA()(G), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("gain", [1e-3, 1e-5, 1e-7, 1e-9])
def test_a_row_enters_however_little_it_helps(gain):
    """The second row misses ⟨g₂, g₁⟩ >= ‖g₁‖² by ``gain``; its weight then is gain/(1 + gain²)."""
    G = torch.tensor([[1.0, 0.0], [1 - gain, 1.0]], dtype=torch.float64)
    assert fm.MGDA().weights(G @ G.mT)[1].item() == pytest.approx(gain / (1 + gain**2), rel=1e-5)


def test_a_short_direction_counts_down_to_1e_minus_7_of_its_terms():
    for rest, length in [(1e-3, 1e-3), (1e-5, 1e-5), (1e-6, 1e-6), (1e-8, 0.0)]:
        G = torch.tensor([[1.0, rest], [-1.0, rest]], dtype=torch.float64)
        expected = torch.tensor([0.0, length], dtype=torch.float64)
        torch.testing.assert_close(fm.MGDA()(G), expected, rtol=0, atol=1e-9 * rest)


@pytest.mark.parametrize("T", [2, 3, 10, 40])
def test_float32_descends_on_every_task(T, mixture):
    G = mixture(["normal", "descent"], T, 100, decades=[2])[0].float()
    assert (shortage(G.double(), fm.MGDA()(G).double()) <= 1e-4).all()


@pytest.mark.parametrize(("T", "P"), [(2, 5), (3, 4), (5, 9)])
def test_it_descends_on_every_task_whatever_the_norms(T, P, sample):
    """Row norms from 1e-30 to 1e30: the weight of a long row lies below the range of float32."""
    for dtype, tolerance in [(torch.float64, 1e-8), (torch.float32, 1e-3)]:
        G = sample("descent", T, P, decades=60).to(dtype)
        d = fm.MGDA()(G).double()
        assert (shortage(G.double(), d) <= tolerance).all(), dtype


@pytest.mark.parametrize("name", ["mgda", "cagrad"])
def test_the_direction_is_finite_where_rounding_leaves_no_length_at_all(name, sample):
    """Many rows in a plane: g_w cancels so far that its squared length may come out negative."""
    G = sample("rank_2", 40, 100, batch=4, decades=6)
    assert fm.aggregator(name)(G).isfinite().all()
    assert (fm.MGDA()(G) == 0).all()
