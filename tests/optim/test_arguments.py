"""Which parameters a step takes, and the errors for arguments that do not fit."""

import pytest
import torch
from torch import nn

import flatmtl_lite as fm
from tests.optim.nets import Net, close, everything


def test_lists_left_out_are_found_at_the_first_step(net):
    without_lists, with_lists = [], []
    listed = {"shared": net.shared, "heads": net.head_lists}
    for lists, results in (({}, without_lists), (listed, with_lists)):
        step = fm.FlatMTL(torch.optim.SGD(net.parameters(), 0.1), aggregate=fm.CAGrad(), rho=0.3, **lists)
        for _ in range(2):
            step.backward([net.batch()])
            results += net.gradients()
    close(without_lists, with_lists)


def unreached(net):
    """The net and one parameter more, all named, in an optimizer."""
    extra = nn.Parameter(torch.ones(7, dtype=torch.float64))
    return torch.optim.SGD([*net.named_parameters(), ("aux.scale", extra)], lr=0.1), extra


def test_a_parameter_of_the_optimizer_in_neither_list_is_an_error_at_once(net):
    optimizer, extra = unreached(net)
    with pytest.raises(ValueError, match=r"optimizer's parameter 'aux.scale' is in neither shared nor heads"):
        net.step(optimizer)
    extra.requires_grad_(False)
    net.step(optimizer)  # frozen, it may stay


def test_a_parameter_of_the_optimizer_that_no_loss_reaches_is_an_error_every_time():
    net = Net(noisy=True)
    optimizer, extra = unreached(net)
    step = fm.FlatMTL(optimizer)
    before = everything(net, step)
    for _ in range(2):
        with pytest.raises(ValueError, match=r"'aux.scale' is in neither.*no loss reaches it"):
            step(*net.batch())
        assert everything(net, step) == before
    extra.requires_grad_(False)
    step(*net.batch())


def test_without_names_the_optimizers_place_and_shape_are_named(net):
    extra = nn.Parameter(torch.ones(7, dtype=torch.float64))
    optimizer = torch.optim.SGD([{"params": net.parameters()}, {"params": [extra]}], lr=0.1)
    with pytest.raises(ValueError, match=r"parameter 0 of group 1 \(shape \(7,\);.*\) is in neither"):
        net.step(optimizer)


@pytest.mark.parametrize("named", [True, False])
def test_the_graph_search_names_parameters_as_the_optimizer_does(named):
    net = Net(noisy=True)
    features, losses = net.batch()
    losses[2] = lambda z: net.loss(2, z) + net.heads[0](z).mean()
    step = fm.FlatMTL(torch.optim.SGD(net.named_parameters() if named else net.parameters(), lr=0.1))
    name = (
        "'heads.0.weight'"
        if named
        else r"6 of group 0 \(shape \(2, 3\); an optimizer of model.named_parameters\(\) would name it\)"
    )
    before = everything(net)
    for _ in range(2):
        with pytest.raises(ValueError, match=rf"parameter {name} is in neither.*tasks \[0, 2\] of 3"):
            step(features, losses)
        assert everything(net) == before
    step(*net.batch())  # and the proper losses do


def test_a_listed_parameter_that_is_frozen_later_is_an_error(net):
    step = net.step()
    step(*net.batch())
    net.heads[1].weight.requires_grad_(False)
    before = everything(net, step)
    with pytest.raises(ValueError, match=r"entry of the head of task 1 is a.*Leave frozen ones out"):
        step(*net.batch())
    assert everything(net, step) == before


def test_a_parameter_that_is_unfrozen_later_is_not_silently_left_untrained(net):
    net.heads[1].requires_grad_(False)
    step = fm.FlatMTL(torch.optim.SGD(net.named_parameters(), lr=0.1))
    step(*net.batch())
    net.heads[1].requires_grad_(True)
    with pytest.raises(ValueError, match=r"'heads.1.(weight|bias)' is in neither shared nor heads"):
        step(*net.batch())


def test_a_shared_parameter_that_no_loss_reaches_gets_a_zero_gradient(net):
    extra = nn.Parameter(torch.ones(7, dtype=torch.float64))
    optimizer = torch.optim.SGD([*net.parameters(), extra], lr=0.1)
    fm.FlatMTL(optimizer, [*net.shared, extra], net.head_lists)(*net.batch())
    assert extra.grad.tolist() == [0] * 7


# bad input --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rho": -1.0}, "Got rho=-1.0; expected a finite radius >= 0"),
        ({"rho": float("nan")}, "Got rho=nan"),
        ({"rho": float("inf")}, "Got rho=inf"),
        ({"rho_heads": -1.0}, "Got rho_heads=-1.0"),
        ({"rho_heads": 0.2, "norm": "together"}, 'Got rho_heads=0.2 with norm="together"'),
        ({"norm": "l2"}, 'Got norm=\'l2\'; expected "separate" or "together"'),
        ({"combine": "sum"}, "Got combine='sum'; expected one of erm, direct, decomposed, second, each"),
        ({"perturb": "each"}, "Got perturb='each'; expected \"task\""),
        ({"on_nonfinite": "ignore"}, 'Got on_nonfinite=\'ignore\'; expected "raise" or "skip"'),
        ({"aggregate": "cagrad"}, r"Got aggregate='cagrad'; expected an aggregator, such as CAGrad\(c=0.4\)"),
        ({"aggregate": fm.CAGrad}, r"Got aggregate=<class .*CAGrad'>; expected an aggregator"),
        ({"aggregate": nn.Linear(2, 2)}, r"Got aggregate=Linear.*; expected an aggregator"),
    ],
)
def test_bad_options_are_errors_when_the_step_is_made(net, options, message):
    with pytest.raises(ValueError, match=message):
        net.step(**options)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda losses: losses[:2], "Got 2 losses but 3 heads"),
        (lambda losses: [], "empty list of losses"),
        (lambda losses: [*losses[:2], 1.0], "Got float as the loss of task 2; expected a callable"),
        (lambda losses: [lambda z: z, *losses[1:]], r"loss of task 0 is \(8, 3\); expected one floating"),
        (lambda losses: [lambda z: z.detach().sum(), *losses[1:]], "loss of task 0 does not depend on"),
    ],
)
def test_bad_losses_are_errors_and_change_nothing(prepared, change, message):
    step = prepared.step(torch.optim.Adam(prepared.parameters()))
    features, losses = prepared.batch()
    before = everything(prepared, step)
    with pytest.raises(ValueError, match=message):
        step(features, change(losses))
    assert everything(prepared, step) == before
