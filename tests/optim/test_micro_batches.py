"""Micro-batches together are one batch."""

import pytest
import torch

import flatmtl_lite as fm
from flatmtl_lite.decomposition import RULES
from tests.methods import KINDS, rules_of


@pytest.mark.parametrize("norm", ["separate", "together"])
@pytest.mark.parametrize("perturb", ["task", "mean"])
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
