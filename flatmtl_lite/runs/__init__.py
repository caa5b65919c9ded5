"""The full experiments: data sets, networks, training, records."""

from .evaluation import task_closures
from .methods import parse_method
from .multimnist import MultiTaskData, fashion_and_mnist, multi_mnist, task_names
from .networks import MultiTaskNet, SingleTaskNets, lenet, mlp, parse_network, resnet18, single_task
from .trainer import Config, Run, train

__all__ = [
    "Config",
    "MultiTaskData",
    "MultiTaskNet",
    "Run",
    "SingleTaskNets",
    "fashion_and_mnist",
    "lenet",
    "mlp",
    "multi_mnist",
    "parse_method",
    "parse_network",
    "resnet18",
    "single_task",
    "task_closures",
    "task_names",
    "train",
]
