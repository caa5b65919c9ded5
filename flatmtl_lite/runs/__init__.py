"""The full experiments: data sets, networks, training, records."""

from .methods import parse_method
from .multimnist import MultiTaskData, fashion_and_mnist
from .networks import MultiTaskNet, lenet, mlp
from .trainer import Config, Run, task_closures, train

__all__ = [
    "Config",
    "MultiTaskData",
    "MultiTaskNet",
    "Run",
    "fashion_and_mnist",
    "lenet",
    "mlp",
    "parse_method",
    "task_closures",
    "train",
]
