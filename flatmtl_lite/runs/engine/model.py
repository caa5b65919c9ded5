"""The networks that the engine trains: one trunk with a head per task, or single-task twins."""

from collections.abc import Callable, Sequence
from typing import cast

import torch
from torch import Tensor, nn


class MultiTaskNet(nn.Module):
    """A trunk and T heads: x -> T outputs.

    Args:
        trunk: x -> z, shared by the tasks.
        heads: one module per task, z -> output.
    """

    def __init__(self, trunk: nn.Module, heads: list[nn.Module]):
        super().__init__()
        self.trunk = trunk
        self.heads = nn.ModuleList(heads)

    def forward(self, x: Tensor) -> list[Tensor]:
        z = self.trunk(x)
        return [head(z) for head in self.heads]

    def head_parameters(self) -> list[list[nn.Parameter]]:
        """Return, for each task, the parameters that only its loss trains."""
        return [list(head.parameters()) for head in self.heads]

    def shared_parameters(self) -> list[nn.Parameter]:
        """Return all parameters that are not in :meth:`head_parameters`."""
        heads = {p for head in self.head_parameters() for p in head}
        return [p for p in self.parameters() if p not in heads]


class SingleTaskNets(nn.Module):
    """T networks of one task each: x -> T outputs, in the form of :class:`MultiTaskNet`.

    Args:
        twins: one network with a single head per task; each is trained by itself.
    """

    def __init__(self, twins: list[MultiTaskNet]):
        super().__init__()
        self.twins = nn.ModuleList(twins)

    def forward(self, x: Tensor) -> list[Tensor]:
        return [output for twin in self.twins for output in twin(x)]


def single_task(
    network: Callable[[Sequence[int]], MultiTaskNet], classes: Sequence[int] = (10, 10)
) -> SingleTaskNets:
    """Return the single-task twins of a network: one network for each task.

    Every twin starts from the state that torch's generator has when this function is called. It therefore
    gets the same weights as if its task were trained alone with that seed, whatever the other tasks are. All
    trunks start equal, and equal to the trunk of ``network(classes)`` with that seed: the comparison is
    paired.

    Args:
        network: such as :func:`~flatmtl_lite.runs.networks.images.lenet`; it draws the
            trunk before the heads.
        classes: number of classes of each task.

    Example:
        >>> from flatmtl_lite.runs import lenet
        >>> sum(p.numel() for p in single_task(lenet).parameters())  # 2 * (30,890 + 510)
        62800
    """
    state = torch.get_rng_state()
    twins = []
    for count in classes:
        torch.set_rng_state(state)
        twins.append(network((count,)))
    return SingleTaskNets(twins)


def parts(model: nn.Module) -> list[tuple[MultiTaskNet, list[int]]]:
    """Return the networks that are trained separately, each with its tasks.

    This is the model itself with all tasks, or each of its single-task twins with one task.
    """
    if isinstance(model, SingleTaskNets):
        return [(cast(MultiTaskNet, twin), [t]) for t, twin in enumerate(model.twins)]
    net = cast(MultiTaskNet, model)
    return [(net, list(range(len(net.heads))))]
