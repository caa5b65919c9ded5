"""SLAW weighs by the inverse spread of each loss, from the paper's running moments."""

import pytest
import torch

import flatmtl_lite as fm


def series(steps, T=3):
    generator = torch.Generator().manual_seed(steps)
    spread = torch.tensor([1.0, 0.1, 3.0, 0.5][:T], dtype=torch.float64)
    return 5 + spread * torch.randn(steps, T, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("decay", [0.0, 0.5, 0.9, 0.99])
def test_the_weights_come_from_the_running_moments(decay):
    """Plain means of l² and l while 1/step > 1 - decay, exponential ones from then on."""
    A, losses = fm.SLAW(decay), series(150)
    square = mean = torch.zeros(3, dtype=torch.float64)
    for t in range(150):
        share = max(1 / (t + 1), 1 - decay)
        square, mean = square + share * (losses[t] ** 2 - square), mean + share * (losses[t] - mean)
        spread = (square - mean**2).clamp_min(0).sqrt().clamp_min(1e-5)
        expected = (1 / spread) / (1 / spread).sum()
        # the difference of the moments loses some digits, more where the spread is near 0
        torch.testing.assert_close(A.loss_weights(losses[t]), expected, rtol=1e-8, atol=1e-10)
        if t < 100 and decay == 0.99 and t > 0:
            plain = losses[: t + 1].std(0, correction=0)
            torch.testing.assert_close(expected, (1 / plain) / (1 / plain).sum(), rtol=1e-8, atol=0)


def test_it_gives_the_weights_by_hand():
    A = fm.SLAW()
    assert A.loss_weights(torch.tensor([5.0, 1.0])).tolist() == [0.5, 0.5]
    # spreads of {5, 6} and {1, 4}: 1/2 and 3/2
    assert A.loss_weights(torch.tensor([6.0, 4.0])).tolist() == pytest.approx([0.75, 0.25])


def test_a_constant_added_to_a_loss_does_not_matter_however_large():
    """√(mean of l² - (mean of l)²) would have lost all digits here."""
    one, other = fm.SLAW(), fm.SLAW()
    for losses in series(20):
        losses = losses.mul(2**10).round().div(2**10)  # so that adding 1e9 rounds nothing away
        torch.testing.assert_close(other.loss_weights(losses + 2.0**30), one.loss_weights(losses))


def test_a_loss_that_does_not_change_has_the_smallest_spread():
    A = fm.SLAW()
    for _ in range(3):
        weights = A.loss_weights(torch.tensor([1.0, 1.0], dtype=torch.float64))
        assert weights.tolist() == [0.5, 0.5]
    weights = A.loss_weights(torch.tensor([1.0, 2.0], dtype=torch.float64))
    spread = (3 / 16) ** 0.5  # of {1, 1, 1, 2}, against the floor of 1e-5
    assert (weights[0] / weights[1]).item() == pytest.approx(spread / 1e-5)
