"""The Gramian is one product, and moves to float64 only where squares would leave the range."""

import math

import pytest
import torch

import flatmtl_lite as fm
from flatmtl_lite.aggregation import gramian
from flatmtl_lite.aggregation.base import scale_free

DTYPES = [torch.float64, torch.float32]


@pytest.mark.parametrize("dtype", DTYPES)
def test_it_is_the_product_of_the_rows(dtype, sample):
    for T in (1, 2, 7):
        G = sample("normal", T, 11).to(dtype)
        M = gramian(G)
        assert M.dtype == dtype
        torch.testing.assert_close(M, G @ G.mT)
        torch.testing.assert_close(M, M.mT)  # not every processor's product is symmetric to the last bit


@pytest.mark.parametrize("shape", [(1,), (3,), (13,), (40,), (2, 3)])
def test_long_rows_keep_the_digits_of_float32(shape):
    """Terms of one sign are the worst case: a single sum of the longest row is off by 5e-6."""
    generator = torch.Generator().manual_seed(0)
    for P in (10_000, 10_001, 200_003):
        G = torch.rand(*shape, P, generator=generator)
        M = gramian(G)
        assert M.dtype == torch.float32
        torch.testing.assert_close(M.double(), G.double() @ G.double().mT, rtol=1e-6, atol=0)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_multiplied_in_float32(dtype):
    G = torch.tensor([[300.0, 300.0], [0.25, 0.0]], dtype=dtype)
    assert gramian(G).dtype == torch.float32
    assert gramian(G).tolist() == [[180000.0, 75.0], [75.0, 0.0625]]


@pytest.mark.parametrize(
    "rows",
    [
        [[3e30, 4e30], [1.0, 2.0]],  # the squares overflow float32
        [[3e-30, 4e-30], [1.0, 2.0]],  # they underflow
        [[3e30, 4e30], [3e-30, 4e-30]],
        [[2e-23, 1e-23], [1e-23, 3e-23]],  # they are subnormal
    ],
)
def test_float64_is_used_where_float32_squares_leave_the_range(rows):
    G = torch.tensor(rows)
    M = gramian(G)
    assert M.dtype == torch.float64
    expected = G.double() @ G.double().mT
    assert (M - expected).abs().le(1e-6 * expected.diagonal().sqrt().outer(expected.diagonal().sqrt())).all()


@pytest.mark.parametrize(
    "rows",
    [[[1e-10, 0.0], [0.0, 1e15]], [[0.0, 0.0], [1.0, 2.0]], [[0.0, 0.0], [0.0, 0.0]]],
)
def test_rows_whose_squares_fit_stay_in_float32(rows):
    G = torch.tensor(rows)
    assert gramian(G).dtype == torch.float32
    assert torch.equal(gramian(G), G @ G.mT)


@pytest.mark.parametrize("batch", [(), (4,), (2, 3)])
def test_a_non_finite_row_is_named_by_its_task(batch):
    """Stacked [loss; flat], row 2T of the whole is task 0 again."""
    loss, flat = torch.ones(*batch, 3, 4), torch.ones(*batch, 3, 4)
    flat[..., 1, 2] = math.nan
    with pytest.raises(fm.NonFiniteGradient) as caught:
        gramian(torch.cat([loss, flat], -2), parts=2)
    assert caught.value.tasks == [1]
    loss[..., 2, 0] = math.inf
    with pytest.raises(fm.NonFiniteGradient) as caught:
        gramian(torch.cat([loss, flat], -2), parts=2)
    assert caught.value.tasks == [1, 2]


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_scale_free_form_has_cosines_and_relative_norms(dtype):
    G = torch.tensor([[3.0, 4.0], [0.0, 0.0], [-10.0, 0.0], [6.0, 8.0]], dtype=dtype)
    C, norms = scale_free((G @ G.mT).double())
    expected = [[1, 0, -0.6, 1], [0, 0, 0, 0], [-0.6, 0, 1, -0.6], [1, 0, -0.6, 1]]
    torch.testing.assert_close(C, torch.tensor(expected, dtype=torch.float64))
    torch.testing.assert_close(norms, torch.tensor([0.5, 0, 1, 1], dtype=torch.float64))


def test_the_scale_free_form_is_finite_for_zeros_and_slightly_indefinite_matrices():
    C, norms = scale_free(torch.zeros(2, 2, dtype=torch.float64))
    assert C.tolist() == [[0, 0], [0, 0]]
    assert norms.tolist() == [0, 0]
    C, norms = scale_free(torch.tensor([[1.0, 1.001], [1.001, 1.0]], dtype=torch.float64))
    assert C.tolist() == [[1, 1], [1, 1]]
    C, norms = scale_free(torch.tensor([[1.0, 0.0], [0.0, -1e-9]], dtype=torch.float64))
    assert C.isfinite().all()
    assert norms.tolist() == [1, 0]


@pytest.mark.parametrize("name", ["mgda", "cagrad", "conicgrad", "upgrad", "nash_mtl", "fairgrad"])
def test_the_rule_second_is_finite_where_gradients_sum_to_0(name):
    generator = torch.Generator().manual_seed(0)
    loss, flat = torch.randn(2, 30, 3, 200, generator=generator, dtype=torch.float64)
    loss[:, -1] = -loss[:, :-1].sum(1)
    for part in zip(loss, 0.1 * flat, strict=True):
        assert fm.second(fm.Decomposition(*part), fm.aggregator(name)).isfinite().all()


@pytest.mark.parametrize("scale", [1e-145, 1e-150, 1e-153])
def test_small_rows_keep_their_digits_in_float64(scale, sample):
    G = sample("normal", 3, 7)
    for small, expected in zip(scale_free(gramian(scale * G)), scale_free(gramian(G)), strict=True):
        torch.testing.assert_close(small, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("scale", [1e-157, 1e-160, 1e-163, 1e-300])
def test_rows_whose_squares_float64_cannot_hold_count_as_zero(scale, sample):
    """Subnormal squares have a few digits or none: the angles would drift."""
    G = sample("normal", 3, 7)
    assert gramian(scale * G).count_nonzero() == 0
    G[:, 1] *= scale
    M = gramian(G)
    assert M[:, 1].count_nonzero() == 0 == M[:, :, 1].count_nonzero()
    G[:, 1] = 0
    torch.testing.assert_close(M, gramian(G))


def test_squares_beyond_float64_are_refused():
    G = torch.tensor([[1e200, 0.0], [0.0, 1.0]], dtype=torch.float64)
    with pytest.raises(ValueError, match=r"up to 1e\+200.*expected.*below 1e150.*float64.*Scale"):
        gramian(G)
    with pytest.raises(ValueError, match="below 1e150"):
        fm.MGDA()(G)
