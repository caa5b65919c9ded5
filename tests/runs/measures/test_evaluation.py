"""A network on images: accuracy, modes, dtypes and devices."""

import pytest
import torch

from flatmtl_lite.runs import fashion_and_mnist, mlp, task_closures
from flatmtl_lite.runs.measures.calibration import log_probabilities
from flatmtl_lite.runs.measures.evaluation import accuracy, outputs, task_sharpness


@pytest.fixture(scope="module")
def data():
    return fashion_and_mnist(seed=0, n_train=160, n_val=40, n_test=40, label_noise=0.4, max_shift=0)


def test_accuracy_counts_right_answers(data):
    model = mlp()
    for head in model.heads:
        torch.nn.init.zeros_(head.weight)
        head.bias.data = torch.eye(10)[3]
    expected = 100 * (data.test_labels == 3).float().mean(0)
    assert accuracy(model, data.test_images, data.test_labels) == pytest.approx(expected.tolist(), abs=0.01)


def test_evaluation_leaves_every_module_in_its_mode_also_after_an_error(data):
    model = mlp()
    model.trunk.extend([torch.nn.BatchNorm1d(256).eval(), torch.nn.Dropout()])
    modes = [module.training for module in model.modules()]
    accuracy(model, data.test_images, data.test_labels)
    assert [module.training for module in model.modules()] == modes
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        accuracy(model, data.test_images[:, 1:], data.test_labels)
    assert [module.training for module in model.modules()] == modes


def test_a_double_model_is_judged(data):
    model = mlp()
    single = accuracy(model, data.test_images, data.test_labels)
    assert accuracy(model.double(), data.test_images, data.test_labels) == single
    assert all(task.dtype == torch.float64 for task in log_probabilities(model, data.test_images))


def test_ten_steps_find_more_than_one(data):
    torch.manual_seed(0)
    model = mlp()
    one = task_sharpness(model, data.train_images, data.train_labels, steps=1)
    ten = task_sharpness(model, data.train_images, data.train_labels, steps=10)
    assert all(few <= many for few, many in zip(one, ten, strict=True))
    assert one != ten


def test_images_and_labels_come_to_the_model(data):
    model = mlp().to("meta")  # a device of shapes without numbers: what stays on the CPU is refused there
    features, losses = task_closures(model, data.train_images, data.train_labels)
    z = features()
    assert [loss(z).device.type for loss in losses] == ["meta", "meta"]


@pytest.mark.parametrize("count", [40, 1])
def test_outputs_are_one_row_an_image(count, data):
    scores = outputs(mlp((10, 2)), data.test_images[:count])
    assert [tuple(task.shape) for task in scores] == [(count, 10), (count, 2)]
