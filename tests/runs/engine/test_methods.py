"""Names of methods: what each stands for, and what is said of those that stand for nothing."""

import pytest
import torch

from flatmtl_lite import FlatMTL
from flatmtl_lite.aggregation import AGGREGATORS
from flatmtl_lite.runs import Config, mlp, parse_method, single_task, train
from flatmtl_lite.runs.records import teaching


def test_single_task_learning_and_sam_on_it():
    stl, flat = parse_method("stl"), parse_method("f-stl")
    assert stl.single_task
    assert flat.single_task
    assert (stl.combine, flat.combine) == ("erm", "decomposed")
    assert not parse_method("f-mean").single_task


@pytest.mark.parametrize("prefix", ["direct", "second", "each", "sam", "samo", "sage"])
def test_a_network_of_one_task_has_no_other_rule(prefix):
    with pytest.raises(ValueError, match=f"Got method '{prefix}-stl'; expected stl, or f-stl for SAM"):
        parse_method(f"{prefix}-stl")


def test_rho_is_used_where_a_perturbed_pass_is():
    for name in ("stl", "mean", "cagrad", "uw"):
        assert not parse_method(name).uses_rho
    for name in ("f-stl", "f-mean", "sam-mean", "direct-cagrad", "second-cagrad", "each-mgda"):
        assert parse_method(name).uses_rho


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("f-cagard", "f-cagrad"),
        ("F-CAGrad", "f-cagrad"),
        ("nash-mtl", "nash_mtl"),
        ("direct_mgda", "direct-mgda"),
        ("f-slt", "f-stl"),
    ],
)
def test_a_misspelt_name_is_told_the_nearest(name, meant):
    message = rf"Got method '{name}' \(did you mean '{meant}'\?\); expected one of mean"
    with pytest.raises(ValueError, match=message):
        parse_method(name)


@pytest.mark.parametrize("name", ["", "f-", "adam", "🙂"])
def test_a_name_that_is_near_none_is_told_all(name):
    with pytest.raises(ValueError, match=rf"Got method '{name}'; expected one of mean.* or stl or f-stl\."):
        parse_method(name)


@pytest.mark.parametrize("key", AGGREGATORS)
def test_for_one_task_every_flat_rule_is_sam(key):
    """Why "f-stl" names no aggregator."""
    torch.manual_seed(0)
    (twin,) = single_task(lambda classes: mlp(classes, width=8), (10,)).twins
    x, y = torch.rand(6, 1, 36, 36), torch.arange(6)
    losses = [lambda z: torch.nn.functional.cross_entropy(twin.heads[0](z), y)]

    def step_of(name: str) -> list[torch.Tensor]:
        method = parse_method(name)
        aggregate = method.make_aggregator(tasks=1)
        step = FlatMTL(
            torch.optim.SGD([*twin.parameters(), *aggregate.parameters()], 0.1),
            shared=twin.trunk.parameters(),
            heads=[twin.heads[0].parameters()],
            aggregate=aggregate,
            combine=method.combine,
            perturb=method.perturb,
        )
        step.backward([(lambda: twin.trunk(x), losses)])
        return [p.grad for p in twin.trunk.parameters()]

    ours = step_of("f-stl")
    for name in (f"direct-{key}", f"f-{key}"):
        for a, b in zip(ours, step_of(name), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


def test_fixed_weights_are_read_and_fit_the_tasks():
    config = Config(method="f-constant", weights="3,1")
    assert config.task_weights == [3, 1]
    method = parse_method(config.method)
    assert method.make_aggregator(2, config.task_weights).loss_weights(torch.ones(2)).tolist() == [0.75, 0.25]
    assert Config(method="constant").task_weights == []
    with pytest.raises(ValueError, match=r"Got 2 weights, \[3.0, 1.0\], for 3 tasks; expected one per task"):
        method.make_aggregator(3, config.task_weights)
    for weights in ("a,b", "1,,2", "0.7;0.3", "1,-1", "0,0", "nan,1"):
        with pytest.raises(
            ValueError, match=r"Got weights=.*expected (a list or a tensor of )?one (finite )?number"
        ):
            Config(method="constant", weights=weights)
    with pytest.raises(ValueError, match="Got weights='1,2' for method 'mean'; expected them with"):
        Config(method="mean", weights="1,2")


def test_a_sweep_of_fixed_weights_trains_what_they_say():
    """With the weight 1 for one task its loss ends lowest, and equal weights are the mean."""
    data = teaching.teaching_data(0, 0.0)
    losses = {}
    for weights in ("1,0", "0,1", "", None):
        options = dict(method="mean") if weights is None else dict(method="constant", weights=weights)
        run = train(data, Config(epochs=1, norm="together", **options))
        losses[weights] = next(entry["losses"] for entry in run.log if entry["kind"] == "epoch")
    assert losses[""] == pytest.approx(losses[None], rel=1e-4)
    assert losses["1,0"][0] < losses[""][0] < losses["0,1"][0]
    assert losses["0,1"][1] < losses[""][1] < losses["1,0"][1]
