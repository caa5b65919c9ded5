"""DB-MTL averages gradients of log losses over steps and sums them as unit vectors."""

import pytest
import torch
from torch.nn.functional import normalize

import flatmtl_lite as fm


def some_losses(steps, T):
    generator = torch.Generator().manual_seed(5)
    return torch.rand(steps, T, generator=generator, dtype=torch.float64) * 3 + 0.1


@pytest.mark.parametrize("beta", [0.0, 0.5, 0.9])
@pytest.mark.parametrize(("T", "P"), [(1, 4), (2, 5), (5, 8)])
def test_it_has_the_published_direction(T, P, beta, sample):
    """The published mean starts at 0, here without the 1e-8; its sum has another length."""
    steps, losses = sample("normal", T, P, batch=12), some_losses(12, T)
    A, b, inverse = fm.DBMTL(beta), 0, 0
    for G, loss in zip(steps, losses, strict=True):
        gradients = G / loss.unsqueeze(-1)
        b = gradients + beta * (b - gradients)
        inverse = 1 / loss + beta * (inverse - 1 / loss)
        norms = b.norm(dim=-1)
        published = sum(norms.max() / norms[i] * b[i] for i in range(T))
        direction = A(G, losses=loss)
        torch.testing.assert_close(normalize(direction, dim=0), normalize(published, dim=0))
        torch.testing.assert_close(direction.norm(), (norms / inverse).mean())


def test_it_gives_the_directions_by_hand():
    """The weights 1/l of the steps are 1/2 and 1, then 1 and 2, the first ones halved: 1/4 : 1 and 1/2 : 2.

    So the means are ((2/4 + 1)/(5/4), 0) and (0, (2/2 - 8)/(5/2)).
    """
    A = fm.DBMTL(beta=0.5)
    G = torch.tensor([[2.0, 0.0], [0.0, 2.0]], dtype=torch.float64)
    first = A(G, losses=torch.tensor([2.0, 1.0]))
    assert first.tolist() == pytest.approx([2**0.5, 2**0.5])
    G = torch.tensor([[1.0, 0.0], [0.0, -4.0]], dtype=torch.float64)
    second = A(G, losses=torch.tensor([1.0, 0.5]))
    length = (1.2 + 2.8) / 2
    assert second.tolist() == pytest.approx([length / 2**0.5, -length / 2**0.5])


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_without_memory_it_is_ngdiff_whatever_the_losses(dtype, mixture):
    G, _ = mixture(["normal", "descent", "no_descent"], 4, 9, batch=20, decades=[0, 4])
    G = G.to(dtype)
    A, tolerance = fm.DBMTL(beta=0.0), {torch.float64: 1e-9, torch.float32: 1e-4}[dtype]
    for losses in some_losses(3, 4):
        error = (A(G, losses=losses.expand(G.shape[:-1])) - fm.NGDiff()(G)).norm(dim=-1)
        assert (error <= tolerance * G.norm(dim=-1).amax(-1)).all()


def test_the_unit_of_a_loss_changes_only_the_length(sample):
    steps, losses = sample("normal", 3, 6, batch=8), some_losses(8, 3)
    A, B = fm.DBMTL(), fm.DBMTL()
    units = torch.tensor([1.0, 1e3, 1e-6], dtype=torch.float64)
    for G, loss in zip(steps, losses, strict=True):
        one, other = A(G, losses=loss), B(G * units.unsqueeze(-1), losses=loss * units)
        torch.testing.assert_close(normalize(one, dim=0), normalize(other, dim=0))
        assert other.norm() > 10 * one.norm()


def test_the_loss_decides_how_much_a_step_counts():
    """Without the division by the loss the two steps would cancel."""
    A = fm.DBMTL(beta=0.5)
    A(torch.tensor([[2.0, 0.0]], dtype=torch.float64), losses=torch.tensor([0.1]))
    d = A(torch.tensor([[-1.0, 0.0]], dtype=torch.float64), losses=torch.tensor([1.0]))
    assert d.tolist() == pytest.approx([(10 - 1) / (5 + 1), 0.0])


def test_a_loss_near_0_leaves_no_range():
    """g/l is 1e55, beyond float32, and the length of the last step must not be."""
    A, G = fm.DBMTL(), torch.tensor([[1e30, 0.0], [0.0, 1e-30]])
    for loss in (1e-20, 1e-25, 1.0):
        direction = A(G, losses=torch.tensor([loss, 1.0], dtype=torch.float64))
        assert direction.isfinite().all()
        torch.testing.assert_close(direction[0], direction[1])
    assert 0.4e30 < direction.double().norm() < 0.6e30


def test_both_parts_are_divided_by_the_losses_at_the_start(sample):
    loss, flat = sample("normal", 3, 6, batch=2)
    A, parts = fm.DBMTL(), [fm.DBMTL(), fm.DBMTL()]
    for losses in some_losses(4, 3):
        d = fm.Decomposition(loss, flat, losses=losses, perturbed_losses=100 * losses.flip(-1))
        expected = parts[0](loss, losses=losses) + parts[1](flat, losses=losses)
        torch.testing.assert_close(fm.decomposed(d, A), expected)


def test_losses_are_needed_and_must_be_positive():
    A, G = fm.DBMTL(), torch.eye(2)
    with pytest.raises(ValueError, match=r"Got no losses, which DBMTL needs; expected one per task"):
        A(G)
    with pytest.raises(ValueError, match=r"Got no losses, which DBMTL needs"):
        fm.decomposed(fm.Decomposition(G, G), A)
    with pytest.raises(ValueError, match=r"Got a loss of 0 for task 1; expected losses > 0, because DBMTL"):
        A(G, losses=torch.tensor([1.0, 0.0]))
    with pytest.raises(ValueError, match=r"Got losses of shape \(3,\).*expected one loss per gradient"):
        A(G, losses=torch.ones(3))
    with pytest.raises(fm.NonFiniteGradient, match="loss of task 0"):
        A(G, losses=torch.tensor([torch.nan, 1.0]))
    assert A.memory == {}
