"""DWA is the softmax of ratios of the windows' mean losses, by plain arithmetic."""

import math

import pytest
import torch
import torchjd.scalarization as torchjd

import flatmtl_lite as fm


def series(steps, T=3):
    generator = torch.Generator().manual_seed(steps)
    return torch.rand(steps, T, generator=generator, dtype=torch.float64) * 3 + 0.1


@pytest.mark.parametrize("temperature", [0.5, 2.0, 10.0])
@pytest.mark.parametrize("window", [1, 2, 5])
def test_the_weights_come_from_the_last_two_full_windows(window, temperature):
    A, losses = fm.DWA(window, temperature), series(23)
    for t in range(23):
        weights = A.loss_weights(losses[t])
        full = t // window  # windows before this step
        if full < 2:
            expected = [1 / 3] * 3
        else:
            last = losses[(full - 1) * window : full * window].mean(0).tolist()
            before = losses[(full - 2) * window : (full - 1) * window].mean(0).tolist()
            e = [math.exp(a / b / temperature) for a, b in zip(last, before, strict=True)]
            expected = [x / sum(e) for x in e]
        assert weights.tolist() == pytest.approx(expected, rel=1e-10)


def test_it_gives_the_weights_by_hand():
    """Task 2's loss halves, task 1's stays: ratios 1 and 1/2, weights e^½ : e^¼."""
    A = fm.DWA(window=1)
    for losses in ([3.0, 1.0], [3.0, 0.5]):
        assert A.loss_weights(torch.tensor(losses)).tolist() == [0.5, 0.5]
    share = math.exp(0.5) / (math.exp(0.5) + math.exp(0.25))
    assert A.loss_weights(torch.tensor([9.0, 9.0])).tolist() == pytest.approx([share, 1 - share])
    # then the window of [9, 9] counts: ratios 3 and 18
    e = math.exp(1.5), math.exp(9)
    assert A.loss_weights(torch.tensor([1.0, 1.0]))[0].item() == pytest.approx(e[0] / sum(e))


def test_units_of_a_loss_do_not_matter():
    one, other = fm.DWA(3), fm.DWA(3)
    for losses in series(12):
        scaled = losses * torch.tensor([1.0, 1000.0, 1e-6])
        torch.testing.assert_close(other.loss_weights(scaled), one.loss_weights(losses))


def test_it_agrees_with_torchjd_whose_weights_sum_to_the_number_of_tasks():
    A, peer = fm.DWA(window=4), torchjd.DWA()
    for t, losses in enumerate(series(16)):
        values = losses.clone().requires_grad_()
        peer(values).backward()
        torch.testing.assert_close(3 * A.loss_weights(losses), values.grad)
        if t % 4 == 3:
            peer.step()


def test_a_ratio_beyond_every_range_takes_all_the_weight():
    A = fm.DWA(window=1)
    for losses in ([1e-300, 1.0], [1e300, 1.0]):
        A.loss_weights(torch.tensor(losses, dtype=torch.float64))
    assert A.loss_weights(torch.ones(2)).tolist() == [1, 0]
