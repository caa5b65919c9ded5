"""GLS: descend on the geometric mean of the losses."""

from .si import SI


class GLS(SI):
    """Geometric loss strategy: descend on (Π l)^(1/T), the geometric mean of the losses.

    The gradient of the geometric mean is along Σ gᵢ/lᵢ. With Σ w = 1 its weights are w ∝ 1/l, so this is
    :class:`SI` under another name: a monotone function of Σ log l changes the length of a step and nothing
    else.

    Guarantees: when a loss is multiplied by a constant, only the length of the direction changes.
    Scale: Σ w = 1 (the gradient of the geometric mean is (Π l)^(1/T) Σ 1/l / T times as long).
    Cost: no Gramian; one backward for all tasks with the rule "erm" or perturb="mean".
    Paper: Chennupati et al., CVPR workshops 2019, arXiv 1904.08492.

    Raises:
        ValueError: a call has a loss that is not > 0.

    Example:
        >>> import torch
        >>> GLS()(torch.eye(2), losses=torch.tensor([1.0, 3.0]))
        tensor([0.7500, 0.2500])
    """
