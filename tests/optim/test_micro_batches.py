"""Micro-batches together are one batch."""

import pytest
import torch

import flatmtl_lite as fm
from flatmtl_lite.decomposition import RULES
from tests.methods import KINDS, rules_of
from tests.optim.nets import CHOICES, close


@pytest.mark.parametrize("norm", ["separate", "together"])
@pytest.mark.parametrize("perturb", CHOICES, ids=str)
@pytest.mark.parametrize("rule", RULES)
def test_micro_batches_are_one_batch(net, rule, perturb, norm, make):
    options = {"rho": 0.3, "combine": rule, "perturb": perturb, "norm": norm}
    for name in [name for name in KINDS if rule in rules_of(name)]:
        results = []
        for size in (8, 2):
            batches = [net.batch(slice(k, k + size)) for k in range(0, 8, size)]
            report = net.step(aggregate=make(name), **options).backward(batches)
            # one single backward, which takes no angles, may be possible for the whole batch alone
            gramian = None if issubclass(fm.AGGREGATORS[name], fm.LossWeighting) else report.gramian
            results.append((net.gradients(), report.losses, report.perturbed_losses, gramian))
        torch.testing.assert_close(results[1], results[0], rtol=1e-8, atol=1e-12)


def test_bad_micro_batches_are_errors(net):
    step = net.step()
    with pytest.raises(ValueError, match=r"Got 0 micro-batches.*expected at least one"):
        step.backward([])
    features, losses = net.batch()
    with pytest.raises(ValueError, match=r"Got 2 micro-batches with \[2, 3\] losses.*same number"):
        step.backward([(features, losses), (features, losses[:2])])


def test_micro_batches_of_unequal_size_are_one_batch_if_their_samples_are_told(net):
    step = net.step(aggregate=fm.CAGrad(), rho=0.3)
    whole = step.backward([net.batch()])
    expected = net.gradients()
    report = step.backward([(*net.batch(slice(0, 2)), 2), (*net.batch(slice(2, 8)), 6)])
    close(net.gradients(), expected)
    close(report.gramian, whole.gramian)
    close(report.losses, whole.losses)
    step.backward([net.batch(slice(0, 2)), net.batch(slice(2, 8))])
    assert not torch.allclose(net.gradients()[0], expected[0])
    with pytest.raises(ValueError, match=r"micro-batch of weight 0; expected its number of samples"):
        step.backward([(*net.batch(), 0), (*net.batch(), 1)])
