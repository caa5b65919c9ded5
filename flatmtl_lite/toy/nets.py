"""A tiny network of two tasks on one trunk, smooth or with kinks, to follow along a line."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import softplus

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "tanh": torch.tanh,
    "softplus": softplus,
    "ReLU": torch.relu,
}


class TinyNet:
    """Two regression tasks on a trunk of two layers; weights, samples, targets and heads drawn once.

    Only the trunk has parameters; the heads are fixed. Losses and gradients take one point per task, as in
    :class:`~flatmtl_lite.toy.Problem`, so ``toy.decompose`` works on both. All numbers are float64.

    Args:
        activation: key of ``ACTIVATIONS``; the numbers drawn are the same for all.

    Attributes:
        tasks: T = 2.
        theta: the weights as drawn, (P,).
        pairs: number of (hidden unit, sample) pairs; each pair is on one side of its unit's kink.

    Raises:
        ValueError: unknown activation.

    Example:
        >>> net = TinyNet("ReLU")
        >>> net.gradients(net.theta.expand(1, -1)).shape
        torch.Size([2, 192])
    """

    tasks = 2

    def __init__(self, activation: str) -> None:
        if activation not in ACTIVATIONS:
            raise ValueError(
                f"Got activation={activation!r}; expected one of {', '.join(map(repr, ACTIVATIONS))}."
            )
        self._activation = ACTIVATIONS[activation]
        generator = torch.Generator().manual_seed(13)

        def normal(*shape: int) -> Tensor:
            return torch.randn(*shape, generator=generator, dtype=torch.float64)

        inputs, width, samples = 2, 12, 32
        self.pairs = 2 * width * samples
        self._shapes = [(width, inputs), (width,), (width, width), (width,)]
        sizes = [1.5 / inputs**0.5, 0.5, 1.5 / width**0.5, 0.5]
        weights = [size * normal(*shape) for size, shape in zip(sizes, self._shapes, strict=True)]
        self.theta = torch.cat([w.flatten() for w in weights])
        self._heads = normal(self.tasks, width) / width**0.5
        self._x = normal(samples, inputs)
        a, b = self._x.unbind(-1)
        self._y = torch.stack([torch.sin(a + b), torch.cos(a - 2 * b)])

    def losses(self, points: Tensor) -> Tensor:
        """Return losses (..., T) at points (..., T, P), or (..., 1, P) for one point for all tasks."""
        hidden = self._activation(self._before_activation(points)[1])
        outputs = (hidden * self._heads.unsqueeze(-2)).sum(-1)
        return ((outputs - self._y) ** 2).mean(-1) / 2

    def gradients(self, points: Tensor) -> Tensor:
        """Return gradients (..., T, P) at points (..., T, P), or (..., 1, P) for one point for all tasks."""
        points = self._leaf(points)
        return torch.autograd.grad(self.losses(points).sum(), points)[0]

    def hessian_products(self, points: Tensor, vectors: Tensor) -> Tensor:
        """Return each task's Hessian times a vector, (..., T, P), by two backward passes.

        Args:
            points: as for :meth:`gradients`.
            vectors: (..., T, P).
        """
        points = self._leaf(points)
        (G,) = torch.autograd.grad(self.losses(points).sum(), points, create_graph=True)
        return torch.autograd.grad((G * vectors).sum(), points)[0]

    def sides(self, points: Tensor) -> Tensor:
        """Return whether each (hidden unit, sample) pair is above its kink, (..., T or 1, pairs), bool."""
        return torch.cat([(z > 0).flatten(-2) for z in self._before_activation(points)], -1)

    def _leaf(self, points: Tensor) -> Tensor:
        return points.detach().expand(*points.shape[:-2], self.tasks, -1).clone().requires_grad_()

    def _before_activation(self, points: Tensor) -> list[Tensor]:
        parts = points.split([torch.Size(shape).numel() for shape in self._shapes], -1)
        W1, b1, W2, b2 = (part.unflatten(-1, shape) for part, shape in zip(parts, self._shapes, strict=True))
        first = self._x @ W1.mT + b1.unsqueeze(-2)
        return [first, self._activation(first) @ W2.mT + b2.unsqueeze(-2)]
