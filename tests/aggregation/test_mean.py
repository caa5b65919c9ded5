"""Mean is the average of the rows and linear in them, however much they cancel."""

import pytest
import torch

import flatmtl_lite as fm
from flatmtl_lite.aggregation import gramian


def test_it_gives_the_average_and_equal_weights():
    G = torch.tensor([[2.0, 0.0], [0.0, 4.0], [1.0, -1.0]])
    assert fm.Mean()(G).tolist() == [1.0, 1.0]
    assert fm.Mean().weights(gramian(G)).tolist() == [1 / 3, 1 / 3, 1 / 3]
    assert fm.Mean().weights(gramian(G).expand(2, 3, 3)).tolist() == [[1 / 3, 1 / 3, 1 / 3]] * 2


@pytest.mark.parametrize(("T", "P"), [(1, 3), (2, 5), (10, 4)])
def test_it_is_linear(T, P, sample):
    G, H = sample("normal", T, P, decades=2), sample("normal", T, P)
    both = fm.Mean()(G) + fm.Mean()(H)
    torch.testing.assert_close(fm.Mean()(G + H), both, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("rest", [1e-2, 1e-5, 1e-10])
def test_weights_stay_equal_however_much_the_rows_cancel(rest, dtype):
    """The mean of nearly opposite rows is short but accurate, so no weight becomes 0."""
    G = torch.tensor([[1.0, 0.0], [-1.0, rest]], dtype=dtype)
    torch.testing.assert_close(fm.Mean()(G), torch.tensor([0, rest / 2], dtype=dtype), rtol=1e-6, atol=0)
    assert fm.Mean().weights(gramian(G)).tolist() == [0.5, 0.5]


@pytest.mark.parametrize("rest", [1e-2, 1e-5, 1e-10])
def test_all_rules_agree_for_the_mean_however_much_the_rows_cancel(rest):
    loss = torch.tensor([[1.0, 0.0], [-1.0, rest]], dtype=torch.float64)
    d = fm.Decomposition(loss, 0.1 * loss)
    expected = torch.tensor([0.0, 0.55 * rest], dtype=torch.float64)
    for rule in (fm.direct, fm.decomposed, fm.second, fm.each):
        torch.testing.assert_close(rule(d, fm.Mean()), expected, rtol=1e-5, atol=1e-16)
