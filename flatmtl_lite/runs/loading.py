"""Load the trained network of a finished run, without its data."""

from pathlib import Path

import torch
from torch import nn

from ..names import check_name
from .data.multimnist import task_classes
from .engine.folder import RunError, RunFolder
from .engine.methods import parse_method
from .engine.model import single_task
from .experiments import multimnist, scenes
from .experiments.multimnist import MultiMnist
from .experiments.nyuv2 import NyuV2
from .experiments.registry import described_request
from .experiments.rooms import Rooms

WEIGHTS = ("final", "picked")


def load(folder: str | Path, which: str = "final", device: torch.device | str = "cpu") -> nn.Module:
    """Return the trained network of a finished run, in evaluation mode, ready for use.

    The network takes a batch and returns one output per task, in the order of ``task_names`` in ``run.json``.
    Images of Multi-MNIST are (N, 1, 36, 36) in 0..1; scenes are (N, 3, H, W). The data of the run are not
    needed.

    Args:
        folder: the folder of the run, as :func:`~flatmtl_lite.runs.launch` or ``train --out`` took it.
        which: "final": the weights after the last epoch; "picked": the weights of the epoch with the best
            validation score.
        device: device of the network.

    Raises:
        ValueError: ``which`` is neither of the two.
        RunError: the folder holds no finished run, its files are damaged, or it is of a version that did not
            keep these weights.

    Example:
        >>> import tempfile, torch
        >>> from flatmtl_lite.runs import launch, load
        >>> folder = tempfile.mkdtemp()
        >>> sizes = dict(n_train=64, n_val=40, n_test=40, sample=True, network="mlp", epochs=1)
        >>> _ = launch("multimnist", folder, method="mean", progress=False, measure=False, **sizes)
        >>> net = load(folder, which="picked")
        >>> [tuple(logits.shape) for logits in net(torch.zeros(5, 1, 36, 36))]
        [(5, 10), (5, 10)]
    """
    check_name("which", which, WEIGHTS)
    run = RunFolder(folder)
    description = run.description()
    if description is None or not run.is_finished:
        raise RunError(
            f"Got the folder {folder}, which holds no finished run; expected one with result.json. Train it "
            "to its end: flatmtl-lite train ... --resume."
        )
    run.check_unchanged(description)
    epochs = description["config"]["epochs"]
    state = run.picked_weights() if which == "picked" else run.final_checkpoint(epochs)[0]
    with torch.random.fork_rng(devices=[]):  # its first weights are drawn
        model = _network(description)
    model.load_state_dict(state["model"])
    return model.to(device).eval()


def _network(description: dict) -> nn.Module:
    """Return a network as the run's, with other weights."""
    request = described_request(description)
    settings, names = request.settings, description["task_names"]
    is_single = parse_method(request.config.method).single_task
    if isinstance(settings, MultiMnist):
        classes = task_classes(settings.variant)
        make, outputs = multimnist.parse_network(settings.network), [classes[name] for name in names]
    elif isinstance(settings, (NyuV2, Rooms)):
        make, outputs = scenes.SCENE_NETWORKS[settings.network], names
    else:  # an experiment of the user's own, which only its data complete
        return settings.experiment(request.config.seed, "cpu")[0].network(is_single)
    return single_task(make, outputs) if is_single else make(outputs)
