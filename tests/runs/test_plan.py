"""What a plan says of a run that does not fit into memory, and of the final measures."""

import pytest
import torch

from flatmtl_lite.runs import RunError
from flatmtl_lite.runs import plan as plan_door
from flatmtl_lite.runs.experiments.images import ImageTasks
from flatmtl_lite.runs.measures import landscape
from flatmtl_lite.runs.plan import plan

OPTIONS = dict(network="mlp", sample=True, n_train=64, n_val=40, n_test=40, epochs=2, batch_size=32)
OPTIONS |= dict(method="f-mean", device="cpu")
NO_MEMORY = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB.")


def small_gpu(monkeypatch, largest):
    """A played device whose memory holds that many images of a batch."""
    closures = ImageTasks.closures

    def limited(experiment, net, batch, tasks):
        if len(batch[0]) > largest:
            raise NO_MEMORY
        return closures(experiment, net, batch, tasks)

    monkeypatch.setattr(ImageTasks, "closures", limited)


def lines(text):
    return {line[:14].strip(): line for line in text.splitlines()}


def test_a_gpu_that_is_too_small_is_told_the_option_that_fits(monkeypatch):
    small_gpu(monkeypatch, 8)
    said = []
    text = plan("multimnist", **OPTIONS, measure=False, say=said.append)
    assert text.splitlines()[0].endswith("with --micro-batches 4: without it the memory is too small")
    assert [words for words in said if "out of memory" in words] == [
        "out of memory; trying --micro-batches 2",
        "out of memory; trying --micro-batches 4",
    ]


def test_a_gpu_that_is_too_small_in_any_case_is_an_error(monkeypatch):
    small_gpu(monkeypatch, 0)
    with pytest.raises(RunError, match=r"Out of memory.*--batch-size \(now 32\)"):
        plan("multimnist", **OPTIONS, measure=False, say=lambda words: None)


def test_measures_that_do_not_fit_leave_the_rest_of_the_plan(monkeypatch):
    def too_large(*arguments, **options):
        raise NO_MEMORY

    monkeypatch.setattr(landscape, "top_eigenvalue", too_large)
    text = lines(plan("multimnist", **OPTIONS, say=lambda words: None))
    assert "OUT OF MEMORY: train with --no-measure, later --resume --device cpu" in text["the measures"]
    assert "micro-batches" not in text["f-mean on cpu:"]
    assert (
        "left out"
        in lines(plan("multimnist", **OPTIONS, measure=False, say=lambda words: None))["the measures"]
    )


def test_the_measures_are_part_of_the_whole(monkeypatch):
    """Each call is said to take a second: 21 Hessian products for 2, 142 points for 3, and an evaluation."""
    monkeypatch.setattr(plan_door, "_seconds", lambda function, processes: [1.0, function()][0])
    text = lines(plan("multimnist", **OPTIONS, say=lambda words: None))
    assert text["the measures"].split()[2:4] == [f"{21 / 2 + (21 + 121) / 3 + 1:.1f}", "s"]
    # two epochs of two steps, two evaluations, and the measures
    assert text["the whole run"].split()[3:5] == [f"{4 + 2 + 58.8333:.1f}", "s"]


def test_the_rehearsal_takes_as_many_products_and_points_as_it_says(monkeypatch):
    products, points = [], []
    real = landscape.top_eigenvalue
    monkeypatch.setattr(
        landscape, "top_eigenvalue", lambda *arguments: products.append(arguments[2]) or real(*arguments)
    )
    losses = landscape._losses_at
    monkeypatch.setattr(
        landscape,
        "_losses_at",
        lambda model, f, l, steps: losses(model, f, l, (points.append(1) or step for step in steps)),
    )
    plan("multimnist", **OPTIONS, say=lambda words: None)
    assert products == [1, 1]  # one for each task, of two Hessian products each
    assert len(points) == 3
