"""The full experiments: data sets, networks, training, records."""

from .evaluation import task_closures
from .methods import parse_method
from .multimnist import MultiTaskData, fashion_and_mnist, multi_mnist, task_names
from .networks import MultiTaskNet, lenet, mlp, resnet18
from .trainer import Config, Run, train

__all__ = [
    "Config",
    "MultiTaskData",
    "MultiTaskNet",
    "Run",
    "fashion_and_mnist",
    "lenet",
    "mlp",
    "multi_mnist",
    "parse_method",
    "resnet18",
    "task_closures",
    "task_names",
    "train",
]
