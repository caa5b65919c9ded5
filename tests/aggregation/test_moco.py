"""MoCo averages gradients over steps, and its weights go step by step to MGDA's."""

import pytest
import torch

import flatmtl_lite as fm
from flatmtl_lite.aggregation.moco import onto_simplex


def published(steps, beta, gamma, rho):
    """Run the authors' recursion on steps (K, T, P), slopes in units of mean ‖y‖²; return w and y of each."""
    T = steps.shape[1]
    y, w, results = torch.zeros_like(steps[0]), torch.full((T,), 1 / T, dtype=steps.dtype), []
    for G in steps:
        y = y - beta * (y - G)
        K = y @ y.mT / y.square().sum(-1).mean()
        v = w - gamma * (K @ w + rho * w)
        order = sorted(v.tolist(), reverse=True)
        k = max(k for k in range(1, T + 1) if order[k - 1] > (sum(order[:k]) - 1) / k)
        w = (v - (sum(order[:k]) - 1) / k).clamp_min(0)
        results.append((w, y))
    return results


@pytest.mark.parametrize(("beta", "gamma", "rho"), [(0.1, 0.1, 0.0), (0.5, 0.4, 0.3), (1.0, 0.05, 0.0)])
@pytest.mark.parametrize(("T", "P"), [(1, 4), (2, 5), (5, 8)])
def test_it_is_the_published_recursion_in_another_length(T, P, beta, gamma, rho, sample):
    steps = sample("normal", T, P, batch=12)
    A = fm.MoCo(beta, gamma, rho)
    for k, (w, y) in enumerate(published(steps, beta, gamma, rho), 1):
        direction = A(steps[k - 1])
        torch.testing.assert_close(A.memory["loss weights"].squeeze(-1) / T, w)
        torch.testing.assert_close(direction * (1 - (1 - beta) ** k), w @ y)


def test_it_gives_the_directions_by_hand():
    """Mean ‖y‖² is 5 and the slope (0.1, 0.9); then y = ((1, 0), (0, 3)) again, slope (0.12, 0.72)."""
    A = fm.MoCo(gamma=0.25)
    G = torch.tensor([[1.0, 0.0], [0.0, 3.0]], dtype=torch.float64)
    assert A(G).tolist() == pytest.approx([0.6, 1.2])
    assert A(G).tolist() == pytest.approx([0.675, 0.975])
    A = fm.MoCo(beta=0.5, gamma=1e-9)
    for G in ([[1.0, 0.0], [0.0, 1.0]], [[4.0, 0.0], [0.0, -2.0]]):  # (1, 1), then 1/3 and 2/3 of both
        direction = A(torch.tensor(G, dtype=torch.float64))
    assert direction.tolist() == pytest.approx([1.5, -0.5])


@pytest.mark.parametrize("nature", ["normal", "descent", "no_descent"])
def test_for_gradients_that_stay_it_comes_to_mgda(nature, sample):
    G = sample(nature, 4, 6, batch=8)
    A = fm.MoCo(gamma=0.4)
    for _ in range(3000):
        direction = A(G)
    length = G.norm(dim=-1).amax(-1)
    assert ((direction - fm.MGDA()(G)).norm(dim=-1) <= 1e-3 * length).all()


def test_a_larger_rho_makes_the_weights_more_equal():
    G = torch.tensor([[1.0, 0.0], [0.0, 3.0]])
    spreads = []
    for rho in (0.0, 1.0, 10.0):
        A = fm.MoCo(gamma=0.05, rho=rho)
        for _ in range(500):
            A(G)
        spreads.append(A.memory["loss weights"].std().item())
    assert spreads == sorted(spreads, reverse=True)
    assert spreads[0] > 10 * spreads[-1] > 0


def test_a_weight_may_fall_to_zero_and_rise_again():
    """A task that is alone with weight 0 takes the whole step, and its weight among all stays 0."""
    A = fm.MoCo(beta=1.0, gamma=0.5)
    G = torch.tensor([[1.0, 0.0], [3.0, 0.0]], dtype=torch.float64)
    for _ in range(10):
        direction = A(G)
    assert direction.tolist() == [1.0, 0.0]
    assert A.memory["loss weights"].tolist() == [[2.0], [0.0]]
    with A.present([1], 2):
        assert A(G[1:]).tolist() == [3.0, 0.0]
    assert A.memory["loss weights"].tolist() == [[2.0], [0.0]]
    for _ in range(10):
        direction = A(G.flip(0))
    assert direction.tolist() == [1.0, 0.0]
    assert A.memory["loss weights"].tolist() == [[0.0], [2.0]]


def test_the_projection_is_the_nearest_point_of_the_simplex(sample):
    v = sample("normal", 5, 1, batch=200, decades=2)
    w = onto_simplex(v)
    assert (w >= 0).all()
    torch.testing.assert_close(w.sum(-2), torch.ones(200, 1, dtype=torch.float64))
    # the nearest point: v - w is the same for all positive entries, and not larger for the others
    lift = (v - w).masked_fill(w == 0, -torch.inf).amax(-2, keepdim=True)
    torch.testing.assert_close((v - w)[w > 0], lift.expand_as(v)[w > 0])
    assert (v - w <= lift + 1e-12).all()
    assert 0 < (w == 0).double().mean() < 0.9
