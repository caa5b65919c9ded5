"""The full experiments: train real networks on real data, many times, and report the results.

The doors are ``launch`` (a run in a folder), ``load`` (its trained network), ``train`` (a run in memory) and
``plan`` (the cost of a run).
Read in this order: ``data`` and ``rooms`` (images and scenes), ``networks``, ``engine`` (settings, methods,
the training loop, the run folder), ``measures``, ``experiments`` (what can be trained by name), then the
doors, ``sweep`` (many runs), ``report``, ``paper`` (published figures), ``records`` (what the notebooks
quote), ``claims`` (verdicts that the records give) and ``gpu_check``. ``moved`` answers old commands.
"""

from .data.multimnist import MultiTaskData, fashion_and_mnist, multi_mnist, task_names
from .data.published import load_published
from .data.scenes import Augmented, Scenes, scene_batches
from .engine.config import Config
from .engine.folder import RunError, RunFolder
from .engine.methods import parse_method
from .engine.model import MultiTaskNet, SingleTaskNets, single_task
from .engine.run import Run
from .engine.stopping import Stopped
from .launch import launch
from .loading import load
from .measures.scenes import HIGHER_IS_BETTER, NYUV2_STL, SceneMetrics, delta_m
from .moved import register
from .networks.images import lenet, mlp, parse_network, resnet18, task_closures
from .networks.scenes import SceneNet, encoder_decoder, mtan, scene_closures
from .train import train

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
    "delta_m",
    "encoder_decoder",
    "fashion_and_mnist",
    "launch",
    "lenet",
    "load",
    "load_published",
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

register()
