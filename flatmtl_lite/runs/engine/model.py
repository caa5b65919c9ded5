"""The networks that the engine trains: one trunk with a head per task, or single-task twins."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn


class MultiTaskNet(nn.Module):
    """A trunk and T heads: x -> T outputs.

    Args:
        trunk: x -> z, shared by the tasks.
        heads: per task z -> output.
    """

    def __init__(self, trunk: nn.Module, heads: list[nn.Module]):
        super().__init__()
        self.trunk = trunk
        self.heads = nn.ModuleList(heads)

    def forward(self, x: Tensor) -> list[Tensor]:
        z = self.trunk(x)
        return [head(z) for head in self.heads]

    def head_parameters(self) -> list[list[nn.Parameter]]:
        """Per task what its loss alone trains."""
        return [list(head.parameters()) for head in self.heads]

    def shared_parameters(self) -> list[nn.Parameter]:
        """Everything but :meth:`head_parameters`."""
        own = {p for head in self.head_parameters() for p in head}
        return [p for p in self.parameters() if p not in own]


class SingleTaskNets(nn.Module):
    """T networks of one task each, side by side: x -> T outputs, as :class:`MultiTaskNet` gives them.

    Args:
        twins: per task a network with a single head; each is trained by itself.
    """

    def __init__(self, twins: list[MultiTaskNet]):
        super().__init__()
        self.twins = nn.ModuleList(twins)

    def forward(self, x: Tensor) -> list[Tensor]:
        return [output for twin in self.twins for output in twin(x)]


def single_task(
    network: Callable[[Sequence[int]], MultiTaskNet], classes: Sequence[int] = (10, 10)
) -> SingleTaskNets:
    """The single-task twins of a network: one for each task.

    Every twin starts from the generator state that this function was called in: the same weights as if its
    task were trained alone with that seed, whatever the other tasks are. So all trunks start equal, and
    equal to the trunk of ``network(classes)`` made with that seed: the comparison is paired.

    Args:
        network: such as :func:`~flatmtl_lite.runs.networks.images.lenet`; it draws the
            trunk before the heads.
        classes: of each task.

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
    """What is trained side by side, each network with its tasks: the model, or its single-task twins."""
    if isinstance(model, SingleTaskNets):
        return [(twin, [t]) for t, twin in enumerate(model.twins)]
    return [(model, list(range(len(model.heads))))]
