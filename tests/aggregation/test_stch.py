"""STCH is the gradient of a smooth maximum of l/nadir, after a window in which it descends on Σ log l."""

import pytest
import torch
import torchjd.scalarization as torchjd

import flatmtl_lite as fm


def series(steps, T=3):
    generator = torch.Generator().manual_seed(steps)
    return torch.rand(steps, T, generator=generator, dtype=torch.float64) * 3 + 0.1


def warmed_up(nadir, mu):
    A = fm.STCH(window=1, mu=mu)
    A.loss_weights(torch.tensor(nadir, dtype=torch.float64))
    return A


@pytest.mark.parametrize(
    ("nadir", "losses", "mu", "expected"),
    [
        ([2.0, 2.0], [2.0, 1.0], 1.0, [1 / 2, 1 / 2]),  # w ∝ 1/nadir
        ([1.0, 3.0], [7.0, 0.2], 1.0, [3 / 4, 1 / 4]),
        ([2.0, 2.0], [2.0, 1.0], 0.5, [2 / 3, 1 / 3]),  # p ∝ (1, 1/4), over the losses (1/2, 1/4)
        ([4.0, 1.0, 1.0], [4.0, 0.5, 2.0], 0.5, [1 / 11, 2 / 11, 8 / 11]),
        ([2.0, 2.0], [2.0, 1.0], 1e-310, [1, 0]),
    ],
)
def test_it_gives_the_weights_by_hand(nadir, losses, mu, expected):
    assert warmed_up(nadir, mu).loss_weights(torch.tensor(losses)).tolist() == pytest.approx(expected)


@pytest.mark.parametrize("window", [1, 4])
@pytest.mark.parametrize("mu", [0.1, 1.0, 3.0])
def test_the_weights_are_the_gradient_of_the_smooth_maximum(mu, window):
    A, losses = fm.STCH(window, mu), series(12)
    nadir = losses[:window].mean(0)
    for step, l in enumerate(losses):
        values = l.clone().requires_grad_()
        smooth = mu * torch.logsumexp((values / nadir).log() / mu, 0)
        (slope,) = torch.autograd.grad(values.log().sum() if step < window else smooth, values)
        torch.testing.assert_close(A.loss_weights(l), slope / slope.sum(), rtol=1e-10, atol=1e-12)


def test_it_descends_as_si_in_the_first_window():
    A = fm.STCH(window=5)
    for losses in series(5):
        torch.testing.assert_close(A.loss_weights(losses), fm.SI().loss_weights(losses))
    last = series(6)[5]
    assert not A.loss_weights(last).allclose(fm.SI().loss_weights(last))


def test_the_smooth_maximum_agrees_with_torchjd_whose_ideal_and_preferences_are_options():
    """On y = log(l/nadir) it has the same softmax. Its mean preference divides by T, and so does mu here."""
    nadir, losses = series(2)
    y = (losses / nadir).log().requires_grad_()
    torchjd.STCH(mu=0.3 / 3)(y).backward()  # p / 3
    expected = 3 * y.grad / losses
    weights = warmed_up(nadir.tolist(), 0.3).loss_weights(losses)
    torch.testing.assert_close(weights, expected / expected.sum())


def test_units_of_a_loss_change_the_length_only(sample):
    units = torch.tensor([1.0, 1e4, 1e-3]).double()
    one, other = fm.STCH(window=2, mu=0.3), fm.STCH(window=2, mu=0.3)
    for G, losses in zip(sample("normal", 3, 6, batch=6), series(6), strict=True):
        d = one(G, losses=losses), other(G * units.unsqueeze(-1), losses=losses * units)
        assert torch.cosine_similarity(*d, dim=0).item() == pytest.approx(1)


def test_a_task_that_comes_later_has_a_window_of_its_own():
    """Until it is full, the ratio of the task to its nadir counts as 1."""
    A = fm.STCH(window=2, mu=0.5)
    for losses in ([4.0, 1.0], [2.0, 1.0]):  # nadirs 3 and 1
        with A.present([0, 2], 3):
            A.loss_weights(torch.tensor(losses))
    for count in (1, 2):
        weights = A.loss_weights(torch.tensor([3.0, 5.0, 2.0], dtype=torch.float64))
        expected = torch.tensor([1 / 3, 1 / 5, 4 / 2]).double()  # (l/nadir)² over the losses
        torch.testing.assert_close(weights, expected / expected.sum(), msg=f"step {count}")
    weights = A.loss_weights(torch.tensor([3.0, 10.0, 2.0], dtype=torch.float64))  # nadir 5
    expected = torch.tensor([1 / 3, 4 / 10, 4 / 2]).double()
    torch.testing.assert_close(weights, expected / expected.sum())


def test_losses_at_the_ends_of_the_range_have_finite_weights():
    A = fm.STCH(window=2, mu=0.01)
    for losses in ([1e-300, 1e300], [1e-300, 1e308], [1e300, 1e-300], [1.0, 1.0]):
        weights = A.loss_weights(torch.tensor(losses, dtype=torch.float64))
        assert weights.sum().item() == pytest.approx(1)
