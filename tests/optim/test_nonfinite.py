"""Gradients and losses that are not finite are named, then raised or skipped, and change nothing."""

import pytest
import torch

import flatmtl_lite as fm
from tests.methods import WEIGHTINGS, every_kind
from tests.optim.nets import WAYS, Net, breaks, everything

METHODS = [
    {"aggregate": fm.CAGrad()},
    {"aggregate": fm.PCGrad(), "combine": "each"},
    {"aggregate": fm.MGDA(), "perturb": "mean"},
    {"aggregate": fm.Mean()},
    {"aggregate": fm.Mean(), "perturb": "mean"},
    {"aggregate": fm.CAGrad(), "perturb": "mean", "combine": "direct"},
    {"aggregate": fm.CAGrad(), "perturb": fm.SAMO(), "combine": "direct"},
    {"aggregate": fm.CAGrad(), "perturb": fm.Polar(), "flat_every": 2},
]


@pytest.mark.parametrize("where", ["trunk", "head"])
@pytest.mark.parametrize(
    "options", [*METHODS, {"combine": "erm", "aggregate": fm.CAGrad()}, {"combine": "erm"}]
)
def test_a_clean_gradient_that_is_not_finite_is_an_error_and_changes_nothing(prepared, options, where):
    step = prepared.step(torch.optim.Adam(prepared.parameters()), rho=0.3, **options)
    before = everything(prepared, step)
    with pytest.raises(fm.NonFiniteGradient, match=r"gradient of task 1 holds NaN or infinity.*on_nonfinite"):
        step(*breaks(prepared, 1, where, float("inf")))
    assert everything(prepared, step) == before


@pytest.mark.parametrize("where", ["trunk", "head"])
@pytest.mark.parametrize("options", METHODS)
def test_a_perturbed_gradient_that_is_not_finite_does_so_too(prepared, options, where):
    step = prepared.step(torch.optim.Adam(prepared.parameters()), rho=0.3, **options)
    before = everything(prepared, step)
    with pytest.raises(fm.NonFiniteGradient, match=r"gradient of task 1 holds NaN or infinity"):
        step(*breaks(prepared, 1, where, moved_only=True))
    assert everything(prepared, step) == before


@pytest.mark.parametrize(("moved_only", "where"), [(False, "trunk"), (True, "head")])
@pytest.mark.parametrize("options", METHODS)
def test_such_a_step_can_be_skipped_and_counted(prepared, options, moved_only, where):
    optimizer = torch.optim.Adam(prepared.parameters(), weight_decay=0.1)
    step = prepared.step(optimizer, rho=0.3, on_nonfinite="skip", **options)
    for p in prepared.parameters():
        p.grad = None  # a skipped step leaves no gradient behind
    before = everything(prepared, step)
    for count in (1, 2):
        report = step(*breaks(prepared, 1, where, moved_only=moved_only))
        assert (report.skipped, step.skipped) == (True, count)
        assert report.losses is report.perturbed_losses is report.gramian is None
        assert report.cosines is report.norms is report.conflict_ratio is None
        assert everything(prepared, step) == before
    report = step(*prepared.batch())
    assert (report.skipped, step.skipped) == (False, 2)
    assert everything(prepared, step) != before
    assert step.state_dict()["skipped"] == 2


def test_a_loss_that_raises_changes_nothing_even_when_steps_may_be_skipped(prepared):
    step = prepared.step(torch.optim.Adam(prepared.parameters()), on_nonfinite="skip")
    before = everything(prepared, step)
    features, losses = prepared.batch()
    losses[2] = lambda z: z
    with pytest.raises(ValueError, match="loss of task 2 is"):
        step(features, losses)
    assert everything(prepared, step) == before
    assert step.skipped == 0


@every_kind
def test_a_skipped_step_leaves_the_aggregator_as_it_was(name, make):
    """A gradient that is not finite, at once or only when perturbed, and a loss that is not."""
    for options in WAYS:
        net = Net()
        A, twin = make(name), make(name)
        optimizer = torch.optim.SGD([*net.parameters(), *A.parameters()], lr=0.0)
        step = net.step(optimizer, aggregate=A, rho=0.3, on_nonfinite="skip", **options)
        other = net.step(aggregate=twin, rho=0.3, **options)
        for report in (step.backward([net.batch()]), other.backward([net.batch()])):
            assert not report.skipped
        features, losses = net.batch()
        bad = [breaks(net, 1, "trunk"), breaks(net, 1, "head")]
        if options["combine"] != "erm":
            bad.append(breaks(net, 1, "trunk", moved_only=True))
        if name in WEIGHTINGS:
            bad.append((features, [losses[0], lambda z, loss=losses[1]: loss(z) + float("nan"), losses[2]]))
        for batch in bad:
            assert step.backward([batch]).skipped
        assert all(p.grad is None for p in (*net.parameters(), *A.parameters()))
        for _ in range(2):
            step.backward([net.batch()])
            gradients = net.gradients()
            other.backward([net.batch()])
            assert all(a.equal(b) for a, b in zip(gradients, net.gradients(), strict=True))


@pytest.mark.parametrize("name", WEIGHTINGS)
def test_a_loss_that_is_not_finite_though_its_gradient_is_names_the_task(prepared, name, make):
    for options in WAYS:
        A = make(name)
        optimizer = torch.optim.Adam([*prepared.parameters(), *A.parameters()])
        step = prepared.step(optimizer, aggregate=A, rho=0.3, **options)
        features, losses = prepared.batch()
        broken = [losses[0], lambda z, loss=losses[1]: loss(z) + float("inf"), losses[2]]
        before = everything(prepared, step)
        with pytest.raises(fm.NonFiniteGradient, match="The loss of task 1 holds NaN or infinity") as caught:
            step(features, broken)
        assert caught.value.tasks == [1]
        assert everything(prepared, step) == before


@pytest.mark.parametrize("options", WAYS)
@pytest.mark.parametrize(
    ("aggregate", "message"),
    [
        (fm.SI(), "Got a loss of -.* for task 1; expected losses > 0"),
        (fm.DWA(), "Got a loss of -.* for task 1; expected losses > 0"),
        (fm.UW(2), r"Got 3 losses for UW\(tasks=2\)"),
    ],
)
def test_losses_that_a_weighting_cannot_take_change_nothing(prepared, options, aggregate, message):
    optimizer = torch.optim.Adam([*prepared.parameters(), *aggregate.parameters()])
    step = prepared.step(optimizer, aggregate=aggregate, on_nonfinite="skip", **options)
    features, losses = prepared.batch()
    before = everything(prepared, step)
    with pytest.raises(ValueError, match=message):
        step(features, [losses[0], lambda z: losses[1](z) - 10, losses[2]])
    assert everything(prepared, step) == before
    assert step.skipped == 0
