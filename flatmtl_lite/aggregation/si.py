"""SI: descend on the sum of the logarithms of the losses."""

from torch import Tensor

from .loss_weighting import LossWeighting


class SI(LossWeighting):
    """Scale-invariant weighting: descend on Σ log l, so that no task counts more because of its loss's unit.

    The gradient of log l is g/l, so w ∝ 1/l, from the losses of the step itself.

    Guarantees: when a loss is multiplied by a constant, only the length of the direction changes.
    Scale: Σ w = 1 (published code takes 1/l or 1/(T l), which gives a step of another length).
    Cost: no Gramian; one backward for all tasks with the rule "erm" or perturb="mean".
    Paper: a baseline of Navon et al., ICML 2022, arXiv 2202.01017.

    Raises:
        ValueError: a call has a loss that is not > 0 and so has no logarithm.

    Example:
        >>> import torch
        >>> SI()(torch.eye(2), losses=torch.tensor([1.0, 3.0]))
        tensor([0.7500, 0.2500])
    """

    def solve(self, losses: Tensor) -> Tensor:
        self.check_positive(losses)
        return (-losses.log()).softmax(-1)
