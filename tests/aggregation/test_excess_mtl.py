"""ExcessMTL weighs tasks by estimates of their excess risk, relative to the first ones."""

import pytest
import torch

import flatmtl_lite as fm


def published(steps, eta):
    """Run the authors' code's rule on steps (K, T, P), without its 1e-7; return the weights of each step."""
    T = steps.shape[1]
    w, squares, first, results = [1.0] * T, torch.zeros_like(steps[0]), None, []
    for G in steps:
        squares = squares + G**2
        estimates = (G**2 / squares.sqrt()).sum(-1)
        if first is None:
            first = estimates
        else:
            w = [w[i] * (eta * estimates[i] / first[i]).exp().item() for i in range(T)]
        w = [w_i / sum(w) for w_i in w]
        results.append(torch.tensor(w, dtype=steps.dtype))
    return results


@pytest.mark.parametrize("eta", [0.01, 1.0])
@pytest.mark.parametrize(("T", "P"), [(1, 4), (2, 5), (5, 8)])
def test_it_is_the_published_rule_with_weights_that_sum_to_1(T, P, eta, sample):
    steps = sample("normal", T, P, batch=12)
    A = fm.ExcessMTL(eta)
    for G, w in zip(steps, published(steps, eta), strict=True):
        torch.testing.assert_close(A(G), w @ G)
        torch.testing.assert_close(A.memory["loss weights"].squeeze(-1) / T, w)


def test_it_gives_the_directions_by_hand():
    """E = (1, 3), then (0, 16/5): √(3² + 4²) = 5. The ratios are 0 and 16/15."""
    A = fm.ExcessMTL(eta=1.0)
    first = A(torch.tensor([[1.0, 0.0], [0.0, 3.0]], dtype=torch.float64))
    assert first.tolist() == pytest.approx([0.5, 1.5])
    weight = torch.tensor(16 / 15, dtype=torch.float64).sigmoid().item()
    second = A(torch.tensor([[0.0, 0.0], [0.0, 4.0]], dtype=torch.float64))
    assert second.tolist() == pytest.approx([0.0, 4 * weight])
    third = A(torch.tensor([[2.0, 0.0], [0.0, 0.0]], dtype=torch.float64))  # ratios 4/√5 and 0
    share = (1 - weight) * torch.tensor(4 / 5**0.5).exp().item()
    assert third.tolist() == pytest.approx([2 * share / (share + weight), 0.0])


def test_a_task_that_still_learns_gets_more_weight():
    """The gradient of the first task stays, the one of the second task dies out."""
    A = fm.ExcessMTL(eta=0.1)
    for k in range(20):
        A(torch.tensor([[1.0, 0.0], [0.0, 0.5**k]]))
    first, second = A.memory["loss weights"].squeeze(-1).tolist()
    assert first > 1.2 > 0.8 > second


def test_the_unit_of_a_loss_does_not_matter(sample):
    steps = sample("normal", 3, 6, batch=8)
    A, B = fm.ExcessMTL(0.3), fm.ExcessMTL(0.3)
    units = torch.tensor([[1.0], [1e3], [1e-6]], dtype=torch.float64)
    for G in steps:
        A(G)
        B(G * units)
        torch.testing.assert_close(A.memory["loss weights"], B.memory["loss weights"])


def test_a_task_without_gradient_gets_its_baseline_from_its_first_gradient():
    A = fm.ExcessMTL(eta=1.0)
    for norm in (0.0, 0.0, 2.0):
        A(torch.tensor([[1.0, 0.0], [0.0, norm]], dtype=torch.float64))
    assert A.memory["loss baseline"].tolist() == [[1.0], [2.0]]
    assert A.memory["loss weights"].isfinite().all()


@pytest.mark.parametrize("eta", [0.01, 1.0])
def test_a_task_that_never_had_a_gradient_takes_no_weight(eta):
    A = fm.ExcessMTL(eta)
    for _ in range(300):
        direction = A(torch.tensor([[1.0, 0.0], [0.0, 0.0]], dtype=torch.float64))
    assert direction.tolist() == pytest.approx([0.5, 0.0])
    assert A.memory["loss weights"].flatten().tolist() == pytest.approx([1.0, 1.0])


def test_the_others_exchange_weight_as_if_that_task_were_absent(sample):
    A, twin = fm.ExcessMTL(0.3), fm.ExcessMTL(0.3)
    for G in sample("normal", 2, 6, batch=8):
        direction = A(torch.cat([G, torch.zeros(1, 6)]))
        with twin.present([0, 1], 3):
            torch.testing.assert_close(direction * 3 / 2, twin(G))
    assert A.memory["loss weights"].flatten()[0] != 1
    assert A.memory["loss weights"].flatten()[2].item() == pytest.approx(1.0)


def test_a_weight_that_fell_as_far_as_it_can_comes_back():
    A = fm.ExcessMTL(eta=1.0)
    A(torch.eye(2, dtype=torch.float64))
    for k in range(200):
        A(torch.tensor([[0.0, 0.0], [0.0, 1.0 + k]], dtype=torch.float64))
    assert 0 < A.memory["loss weights"].min() < 1e-290
    for k in range(40):
        direction = A(torch.tensor([[100.0 * (1 + k), 0.0], [0.0, 0.0]], dtype=torch.float64))
    assert direction.tolist() == pytest.approx([4000.0, 0.0])


def test_estimates_far_beyond_the_first_give_finite_weights():
    for first in (1e-30, 1e-300, 5e-324):
        A = fm.ExcessMTL(eta=1.0)
        A(torch.full((2, 3), first, dtype=torch.float64))
        for high in (1e30, 1e150, 1e30):
            assert A(torch.full((2, 3), high, dtype=torch.float64)).tolist() == pytest.approx([high] * 3)
            assert A.memory["loss weights"].isfinite().all()
