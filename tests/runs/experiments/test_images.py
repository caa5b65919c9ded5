"""Images of a user's own are checked before anything trains on them."""

from dataclasses import replace

import pytest
import torch

from flatmtl_lite.runs import Config, fashion_and_mnist, mlp, train
from flatmtl_lite.runs.experiments.images import ImageTasks


@pytest.fixture(scope="module")
def data():
    return fashion_and_mnist(seed=0, n_train=40, n_val=10, n_test=12, sample=True)


def put(labels, value):
    labels = labels.clone()
    labels[3, 1] = value
    return labels


@pytest.mark.parametrize("name", ["train_labels", "train_clean_labels", "val_labels", "test_labels"])
@pytest.mark.parametrize("value", [-1, -100, 10, 255])
def test_a_label_that_is_no_class_is_named(data, name, value):
    wrong = replace(data, **{name: put(getattr(data, name), value)})
    message = rf"Got {name} with the label {value} for garment; expected 0 to 9\. Count classes from 0"
    with pytest.raises(ValueError, match=message):
        train(wrong, Config("mean", epochs=1, batch_size=8))


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("train_images", lambda x: x / 255, r"train_images of shape \(40, 36, 36\), torch.float32.*by 255"),
        ("val_images", lambda x: x[:, None], r"val_images of shape \(10, 1, 36, 36\), .*axis of length 1"),
        ("test_images", lambda x: x[:0], r"test_images of shape \(0, 36, 36\), .*N >= 1"),
        ("train_labels", lambda x: x[:-1], r"train_labels of shape \(39, 2\), .*expected \(40, 2\) int64"),
        ("val_labels", lambda x: x[:, 0], r"val_labels of shape \(10,\), .*one column per task"),
        ("test_labels", lambda x: x.float(), r"test_labels of shape \(12, 2\), torch.float32"),
    ],
)
def test_a_tensor_of_another_form_is_named(data, name, change, message):
    with pytest.raises(ValueError, match=message):
        ImageTasks(replace(data, **{name: change(getattr(data, name))}), mlp)


def test_tasks_with_fewer_classes_are_checked_by_their_own_number(data):
    names = ("train_labels", "train_clean_labels", "val_labels", "test_labels")
    two = replace(data, classes=(10, 2), **{name: getattr(data, name) % 2 for name in names})
    ImageTasks(two, mlp)
    with pytest.raises(ValueError, match="label 2 for garment; expected 0 to 1"):
        ImageTasks(replace(two, val_labels=put(two.val_labels, 2)), mlp)
    assert torch.equal(ImageTasks(two, mlp).data.val_labels, two.val_labels)
