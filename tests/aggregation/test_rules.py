"""An aggregator within a rule: weights from losses serve both parts, and some rules refuse some methods."""

import pytest
import torch

import flatmtl_lite as fm
from flatmtl_lite.decomposition import RULES, combine

NAMES = [name for name, method in fm.AGGREGATORS.items() if issubclass(method, fm.LossWeighting)]
LOSSES = torch.tensor([0.5, 2.0, 1.0], dtype=torch.float64)


@pytest.mark.parametrize("name", NAMES)
def test_both_parts_have_the_same_weights_computed_once_on_the_clean_losses(name, make, sample):
    for batch, n in [((), 1), ((4,), 4), ((2, 2), 4)]:
        loss, flat = sample("normal", 3, 8, batch=2 * n).reshape(2, *batch, 3, 8)
        generator = torch.Generator().manual_seed(0)
        losses = torch.rand(*batch, 3, generator=generator, dtype=torch.float64) * 3 + 0.1
        d = fm.Decomposition(loss, flat, losses=losses, perturbed_losses=100 * losses.flip(-1))
        A, twin = make(name), make(name)
        for rule, rows in [*[(fm.decomposed, loss + flat)] * 3, (fm.direct, loss + flat), (fm.erm, loss)]:
            weights = twin.loss_weights(losses).unsqueeze(-2)
            torch.testing.assert_close(rule(d, A), (weights @ rows).squeeze(-2), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", fm.AGGREGATORS)
def test_second_and_each_refuse_methods_that_need_tasks(name, make):
    A = make(name)
    d = fm.Decomposition(torch.eye(3), torch.eye(3), losses=LOSSES)
    for rule in RULES:
        if rule not in ("second", "each") or not A.needs_tasks:
            assert combine(d, A, rule).isfinite().all()
            continue
        before = str(A.state_dict())
        message = rf'Got {type(A).__name__} with the rule "{rule}".*Take the rule "deco'
        with pytest.raises(ValueError, match=message):
            combine(d, A, rule)
        assert str(A.state_dict()) == before


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_priority_of_long_rows_is_finite_in_every_dtype(dtype):
    """Products of 200,000 entries leave the range of float16."""
    loss = torch.ones(2, 200_000, dtype=dtype)
    d = fm.Decomposition(loss, -loss, losses=LOSSES[:2])
    for A in (fm.Mean(), fm.SI()):
        for rule in ("loss_first", "flat_first"):
            direction = combine(d, A, rule)
            assert direction.dtype == dtype
            assert (direction.abs() - 1).abs().max() < 0.01
