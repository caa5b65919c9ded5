"""Steps of SGD and of Adam by torch's functional forms.

The classes of ``torch.optim`` load torch's compiler when they are first used. That takes a second or more,
which a learner would wait for the first picture.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.optim.adam import adam
from torch.optim.sgd import sgd

Step = Callable[[Tensor], None]  # takes the gradient and moves the parameters in place


def sgd_steps(theta: Tensor, lr: float, momentum: float = 0.0) -> Step:
    """Return what steps ``theta`` as ``torch.optim.SGD`` does."""
    buffers: list[Tensor | None] = [None]
    rest: dict[str, Any] = dict(
        weight_decay=0.0, dampening=0.0, nesterov=False, maximize=False, foreach=False
    )

    def step(gradient: Tensor) -> None:
        sgd([theta], [gradient], buffers, lr=lr, momentum=momentum, **rest)

    return step


def adam_steps(theta: Tensor, lr: float, betas: tuple[float, float] = (0.9, 0.999)) -> Step:
    """Return what steps ``theta`` as ``torch.optim.Adam`` does."""
    mean, square, count = torch.zeros_like(theta), torch.zeros_like(theta), torch.tensor(0.0)
    rest: dict[str, Any] = dict(amsgrad=False, weight_decay=0.0, eps=1e-8, maximize=False, foreach=False)

    def step(gradient: Tensor) -> None:
        most_squares: list[Tensor] = []  # of AMSGrad alone
        moments = [mean], [square], most_squares, [count]
        adam([theta], [gradient], *moments, lr=lr, beta1=betas[0], beta2=betas[1], **rest)

    return step
