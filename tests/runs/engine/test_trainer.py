"""The trainer: what it records, that it repeats, and that measuring leaves no trace."""

import os
from dataclasses import replace
from functools import partial

import pytest
import torch

from flatmtl_lite.aggregation import AGGREGATORS
from flatmtl_lite.runs import Config, fashion_and_mnist, lenet, mlp, multi_mnist, parse_method, train
from flatmtl_lite.runs.engine.experiment import NonFiniteOutput
from flatmtl_lite.runs.engine.loading import loader_processes
from flatmtl_lite.runs.engine.trainer import Trainer, TrainingDiverged
from flatmtl_lite.runs.experiments.images import ImageTasks
from flatmtl_lite.runs.records import teaching
from tests.runs.children import dropping


@pytest.fixture(scope="module")
def data():
    return fashion_and_mnist(seed=0, n_train=160, n_val=40, n_test=40, label_noise=0.4, max_shift=0)


SMALL = Config(epochs=2, batch_size=32, measure_every=2)
NARROW = partial(mlp, width=16)


@pytest.mark.parametrize("label", teaching.METHODS)
def test_every_method_of_the_teaching_setting_trains_and_is_recorded(label, data):
    shares = []
    config = replace(teaching.METHODS[label], epochs=2, batch_size=32, measure_every=2)
    run = train(data, config, NARROW, on_epoch=lambda run, share: shares.append(share))
    assert shares == [0.5, 1.0]
    assert [entry["epoch"] for entry in run.accuracies] == [1, 2]
    assert all(0 <= value <= 100 for entry in run.accuracies for value in entry["test"] + entry["train"])
    assert all(rise >= 0 for rise in run.sharpness)
    every_step = label in ("F-LS", "direct CAGrad", "F-CAGrad")  # whose steps make task gradients
    assert len(run.measured_steps) == (10 if every_step else 6)
    assert all(-1 <= step["loss"][0] <= 1 for step in run.measured_steps)
    assert all(("flat" in step) == every_step for step in run.measured_steps)
    assert sum("same" in step for step in run.measured_steps) == (6 if every_step else 0)
    if label == "F-LS":  # for the mean, decomposed and direct are one
        assert all(
            step["same"] == pytest.approx(1, abs=1e-6) for step in run.measured_steps if "same" in step
        )


def test_a_run_repeats_and_a_seed_changes_it(data):
    def weights(config):
        return torch.cat([p.flatten() for p in train(data, config, NARROW).model.parameters()])

    assert torch.equal(weights(SMALL), weights(SMALL))
    assert not torch.equal(weights(SMALL), weights(replace(SMALL, seed=1)))


def test_the_seed_decides_what_an_aggregator_draws(data):
    first, again, other = (
        Trainer(ImageTasks(data, NARROW), Config("rlw", batch_size=32, seed=seed)).learners[0].step.aggregate
        for seed in (0, 0, 1)
    )
    draws = [torch.rand(3, generator=aggregate.generator) for aggregate in (first, again, other)]
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])


def test_the_measurements_of_a_run_do_not_change_it(data):
    """LS needs no task gradients; weights and running statistics are the same if they are measured."""
    config = replace(SMALL, method="mean")
    often, never = (
        train(data, replace(config, measure_every=1), dropping),
        train(data, replace(config, measure_every=99), dropping),
    )
    assert len(often.measured_steps) > len(never.measured_steps)
    for a, b in zip(often.model.state_dict().values(), never.model.state_dict().values(), strict=True):
        assert torch.equal(a, b)


def test_training_leaves_the_global_generator_alone(data):
    before = torch.get_rng_state()
    train(data, SMALL, network=lenet)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("network", [mlp, lenet])
def test_tasks_of_unequal_classes_train(network):
    tasks = ["digit", "parity", "group"]
    data = multi_mnist("fashion+mnist", 0, 64, 16, 16, tasks=tasks, sample=True)
    run = train(data, SMALL, network=network)
    assert [head.out_features for head in run.model.heads] == [10, 2, 5]
    assert len(run.accuracies[-1]["test"]) == len(run.sharpness) == 3


def test_a_network_with_other_heads_than_tasks_is_refused(data):
    stepped = []
    with pytest.raises(
        ValueError, match=r"1 heads for 2 tasks \(digit, garment\); expected one head per task"
    ):
        train(data, SMALL, network=lambda classes: mlp(classes[:1]), on_epoch=lambda *a: stepped.append(a))
    assert not stepped


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "f-adam"}, "Got method 'f-adam'; expected one of mean"),
        ({"epochs": 0}, "Got epochs=0"),
        ({"lr": float("nan")}, "Got lr=nan"),
        ({"rho": -1.0}, "Got rho=-1.0"),
        ({"alpha": 2.0}, "Got alpha=2.0"),
        ({"mu": 0.0}, "Got mu=0.0"),
        ({"local": "own"}, "Got local='own'"),
        ({"noise": -1.0}, "Got noise=-1.0"),
        ({"flat_every": 0}, "Got flat_every=0"),
        ({"flat_batch": 0.01}, "Got flat_batch=0.01 of batch_size=64, less than one item"),
        ({"workers": -2}, "Got workers=-2; expected a number >= 0, or -1"),
        ({"sam_share": 0.0}, "Got sam_share=0.0; expected a share of the epochs"),
    ],
)
def test_bad_settings(options, message):
    with pytest.raises(ValueError, match=message):
        Config(**options)


@pytest.mark.parametrize("method", [*(f"f-{key}" for key in AGGREGATORS), "uw", "sam-rlw", "direct-gradvac"])
def test_every_aggregator_trains_and_measuring_does_not_change_it(method, data):
    config = replace(SMALL, method=method, epochs=1)
    one, other = train(data, config, NARROW), train(data, replace(config, measure_every=99), NARROW)
    for a, b in zip(one.model.parameters(), other.model.parameters(), strict=True):
        assert torch.equal(a, b)
    assert one.measured_steps[0]["loss"]


def test_sam_begins_with_its_share_of_the_epochs(data):
    late = train(data, replace(SMALL, method="f-mean", epochs=3, sam_share=1 / 3), NARROW)
    assert ["perturbed_losses" in epoch for epoch in late.entries("epoch")] == [False, False, True]
    plain = train(data, replace(SMALL, method="mean", epochs=3), NARROW)
    losses = [run.entries("epoch")[1]["losses"] for run in (late, plain)]
    assert losses[0] == losses[1]


def test_a_part_of_the_batch_comes_first(data, monkeypatch):
    seen = []
    closures = ImageTasks.closures
    monkeypatch.setattr(ImageTasks, "closures", lambda *a: seen.append(len(a[2][0])) or closures(*a))
    config = replace(SMALL, method="f-mean", epochs=1, flat_batch=0.3, micro_batches=2)
    train(data, config, NARROW)
    sizes = seen[:3]
    assert sizes[0] == int(0.3 * config.batch_size)
    assert sum(sizes) == config.batch_size
    assert sizes[1] - sizes[2] in (0, 1)


def test_learnt_scales_are_trained_without_weight_decay(data, monkeypatch):
    made, sgd = [], torch.optim.SGD
    monkeypatch.setattr(torch.optim, "SGD", lambda *a, **k: made.append(sgd(*a, **k)) or made[-1])
    train(data, replace(SMALL, method="uw", weight_decay=0.1, epochs=1), NARROW)
    network, scales = made[0].param_groups
    assert (network["weight_decay"], scales["weight_decay"]) == (0.1, 0)
    assert scales["params"][0].detach().abs().min() > 0  # it starts at 0


def test_too_few_images(data):
    with pytest.raises(ValueError, match="Got 160 training images for batch_size=161"):
        train(data, replace(SMALL, batch_size=161))


def test_method_names():
    assert parse_method("mean").combine == "erm"
    assert parse_method("sam-mean").perturb == "mean"
    assert parse_method("each-imtl_g").combine == "each"
    priorities = [parse_method(name).combine for name in ("lf-cagrad", "ff-famo")]
    assert priorities == ["loss_first", "flat_first"]
    assert (parse_method("samo-mean").perturb, parse_method("sage-mean").perturb) == ("samo", "polar")
    assert (parse_method("sage-mean").noisy, parse_method("polar-mean").noisy) == (True, False)
    assert (parse_method("noise-mean").noisy, parse_method("noise-mean").uses_rho) == (True, False)
    lsam, direct = parse_method("lsam-mgda"), parse_method("direct-mgda")
    assert lsam == direct
    assert all(parse_method(f"direct-{key}").aggregator == key for key in AGGREGATORS)
    for key, method in AGGREGATORS.items():
        assert type(parse_method(f"f-{key}").make_aggregator(tasks=3)) is method
    for name in ("", "f-", "-mean", "x-mean", "cagrad-f"):
        with pytest.raises(ValueError, match="expected one of"):
            parse_method(name)


@pytest.mark.parametrize("key", AGGREGATORS)
@pytest.mark.parametrize("prefix", ["second", "each"])
def test_method_names_that_join_what_does_not_fit(prefix, key):
    if AGGREGATORS[key].needs_tasks:
        message = f'Got {AGGREGATORS[key].__name__} with the rule "{prefix}"'
        with pytest.raises(ValueError, match=message):
            parse_method(f"{prefix}-{key}")
        with pytest.raises(ValueError, match=message):
            Config(method=f"{prefix}-{key}")
    else:
        assert parse_method(f"{prefix}-{key}").combine == prefix


def test_accuracy_on_clean_labels_is_not_accuracy_on_noisy_labels(data):
    torch.manual_seed(0)
    experiment = ImageTasks(data, NARROW)
    model = experiment.network()
    metrics = experiment.evaluate(model)
    for split, labels in (("train", data.train_labels), ("clean", data.train_clean_labels)):
        for head, accuracy, column in zip(model.heads, metrics[split]["accuracy"], labels.T, strict=True):
            right = head(model.trunk(data.train_images[:, None] / 255)).argmax(1) == column
            assert accuracy == pytest.approx(100 * right.double().mean().item(), abs=0.1)
    assert metrics["score"]["test"] == pytest.approx(sum(metrics["test"]["accuracy"]) / 2)


def test_a_network_whose_weights_are_nan_is_not_judged(data):
    trainer = Trainer(ImageTasks(data, NARROW), SMALL)
    steps = trainer.advance()
    for _ in range(trainer.steps_per_epoch):
        next(steps)
    with torch.no_grad():
        next(trainer.model.parameters()).fill_(float("nan"))
    with pytest.raises(TrainingDiverged, match="weights are NaN or infinite"):
        next(steps)


def test_a_network_whose_outputs_are_nan_has_diverged_and_bad_data_are_their_own_error(data, monkeypatch):
    def evaluate(error):
        def fail(experiment, model):
            raise error

        monkeypatch.setattr(ImageTasks, "evaluate", fail)
        for _ in Trainer(ImageTasks(data, NARROW), SMALL).advance():
            pass

    with pytest.raises(TrainingDiverged, match=r"cannot be evaluated: Got nan\. Begin again .* smaller lr"):
        evaluate(NonFiniteOutput("Got nan."))
    with pytest.raises(ValueError, match=r"^3\.npy is damaged$"):
        evaluate(ValueError("3.npy is damaged"))


def test_loaders_are_as_many_as_a_gpu_needs_and_the_cores_allow(monkeypatch):
    cpu, gpu = torch.device("cpu"), torch.device("cuda:0")
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    for cores, here, expected in ((16, 1, 4), (16, 4, 3), (4, 1, 3), (2, 2, 0), (1, 1, 0)):
        monkeypatch.setattr(os, "sched_getaffinity", lambda _, cores=cores: set(range(cores)), raising=False)
        monkeypatch.setenv("LOCAL_WORLD_SIZE", str(here))
        assert loader_processes(-1, gpu) == expected
    assert (loader_processes(-1, cpu), loader_processes(3, cpu), loader_processes(0, gpu)) == (0, 3, 0)
