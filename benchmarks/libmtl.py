"""LibMTL 1.1.5, the only version on the package index: ``pip install --no-deps LibMTL==1.1.5``."""

import importlib
import importlib.util
import sys
from collections.abc import Callable
from types import ModuleType

import torch
from torch import Tensor, nn


def weightings() -> ModuleType | None:
    """LibMTL's module of that name; None, with a word about it, where it is not installed."""
    spec = importlib.util.find_spec("LibMTL")
    if spec is None:
        print("LibMTL is left out: it is not installed (pip install --no-deps LibMTL==1.1.5)")
        return None
    # an empty package of that name: LibMTL's own also imports its networks, which need torchvision
    sys.modules["LibMTL"] = importlib.util.module_from_spec(spec)
    return importlib.import_module("LibMTL.weighting")


def backward(weighting: nn.Module, G: Tensor, **settings: object) -> Callable[[], object]:
    """LibMTL's own ``backward``, given the task gradients ``G`` (T, P) where it would compute them."""
    shared = nn.Parameter(torch.zeros(G.shape[1]))
    shared.grad = torch.zeros_like(shared)  # it writes into the one that is there
    weighting.task_num, weighting.device, weighting.rep_grad = len(G), "cpu", False
    weighting.get_share_params = lambda: [shared]
    weighting._compute_grad = lambda losses, mode: G
    weighting.init_param()
    losses = torch.ones(len(G))
    return lambda: weighting.backward(losses, **settings)
