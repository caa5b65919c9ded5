"""The full experiments: data sets, networks, training, records."""

from .config import Config
from .evaluation import task_closures
from .folder import RunError, RunFolder
from .launch import Stopped, launch
from .methods import parse_method
from .multimnist import MultiTaskData, fashion_and_mnist, multi_mnist, task_names
from .networks import MultiTaskNet, SingleTaskNets, lenet, mlp, parse_network, resnet18, single_task
from .published_sets import converted
from .scene_metrics import HIGHER_IS_BETTER, NYUV2_STL, SceneMetrics, delta_m
from .scene_networks import SceneNet, encoder_decoder, mtan, scene_closures
from .scenes import Augmented, Scenes, scene_batches
from .trainer import Run, train

__all__ = [
    "Augmented",
    "Config",
    "HIGHER_IS_BETTER",
    "MultiTaskData",
    "MultiTaskNet",
    "NYUV2_STL",
    "Run",
    "RunError",
    "RunFolder",
    "SceneMetrics",
    "SceneNet",
    "Scenes",
    "SingleTaskNets",
    "Stopped",
    "converted",
    "delta_m",
    "encoder_decoder",
    "fashion_and_mnist",
    "launch",
    "lenet",
    "mlp",
    "mtan",
    "multi_mnist",
    "parse_method",
    "parse_network",
    "resnet18",
    "scene_batches",
    "scene_closures",
    "single_task",
    "task_closures",
    "task_names",
    "train",
]
