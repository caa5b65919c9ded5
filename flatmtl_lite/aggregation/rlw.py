"""RLW: new random weights at every step."""

import torch
from torch import Tensor

from .base import Drawing
from .loss_weighting import LossWeighting


class RLW(Drawing, LossWeighting):
    """Random loss weighting: new random weights at every step, the baseline that clever weightings must beat.

    w = softmax(z), z standard normal, one draw of T numbers per step for the whole batch. Published code for
    the F-method draws once for the loss part and again for the flat part; here one draw serves both parts.
    The weights ignore the losses, but like every loss weighting the method needs finite losses.

    Guarantees: none for one step; on average over steps, the mean's direction.
    Scale: Σ w = 1.
    Cost: no Gramian; one backward for all tasks with the rule "erm" or perturb="mean".
    Paper: Lin et al., TMLR 2022, arXiv 2111.10603.

    Args:
        generator: source of the weights. By default a generator of its own with seed 0, whatever
            ``torch.manual_seed`` says. Its state is part of ``state_dict``.

    Raises:
        ValueError: ``generator`` is not a ``torch.Generator``.

    Example:
        >>> G, losses = torch.eye(2), torch.tensor([1.0, 2.0])
        >>> RLW(torch.Generator().manual_seed(3))(G, losses=losses).sum()
        tensor(1.)
    """

    def solve(self, losses: Tensor) -> Tensor:
        z = self.draw(torch.randn, losses.shape[-1])
        return z.softmax(-1).expand(losses.shape)
