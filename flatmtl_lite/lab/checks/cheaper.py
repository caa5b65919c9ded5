"""Exercises of notebook 09: passes of a step, SAMO's direction, a flat part used again, the polar factor."""

import torch
from torch import Tensor

from ..cost import step_costs
from .exercise import Exercise
from .vectors import unit, vector


def _passes(tasks: int, ratio: float) -> float:
    return float(step_costs(tasks, ratio)["SAMO"])


samo_passes = Exercise(
    arguments=("tasks", "ratio"),
    cases=[(2, 2.0), (5, 2.0), (3, 1.5)],
    right=_passes,
    mistakes={
        "the forward pass at θ is missing. The backward pass of the mean loss needs it.": (
            lambda tasks, ratio: _passes(tasks, ratio) - 1
        ),
        "you are one forward pass per task short. Each estimate takes two. At θ+ε each task needs one more "
        "before its backward pass.": lambda tasks, ratio: _passes(tasks, ratio) - tasks,
        "the two forward passes of the estimates are missing. They run for every task.": (
            lambda tasks, ratio: _passes(tasks, ratio) - 2 * tasks
        ),
        "an estimate takes two forward passes and no backward pass. That is its point.": (
            lambda tasks, ratio: _passes(tasks, ratio) + 2 * tasks * ratio
        ),
        "at θ one backward pass of the mean loss is enough. One per task is what the F-method needs.": (
            lambda tasks, ratio: _passes(tasks, ratio) + (tasks - 1) * ratio
        ),
        "at θ+ε every task has its own place, so every task has its own forward and backward pass there.": (
            lambda tasks, ratio: _passes(tasks, ratio) - (tasks - 1) * (1 + ratio)
        ),
        "the backward passes at θ+ε are missing. Every task has one.": (
            lambda tasks, ratio: _passes(tasks, ratio) - tasks * ratio
        ),
        "the backward pass of the mean loss is missing.": lambda tasks, ratio: _passes(tasks, ratio) - ratio,
        "you return the cost relative to the base. Return the passes of the step.": (
            lambda tasks, ratio: _passes(tasks, ratio) / (1 + tasks * ratio)
        ),
        "this is the F-step. SAMO estimates the tasks' gradients at θ by forward passes.": (
            lambda tasks, ratio: float(step_costs(tasks, ratio)["F"])
        ),
    },
    praise="two forward passes per task are new, and all backward passes but one at θ are gone.",
)


def _mix(g0: Tensor, local: Tensor, alpha: float) -> Tensor:
    return alpha * g0 + (1 - alpha) * local


def _sign(plus: float, minus: float) -> int:
    return (plus > minus) - (plus < minus)


def _samo(g0: Tensor, z: Tensor, plus: float, minus: float, alpha: float) -> Tensor:
    return _mix(g0, _sign(plus, minus) * g0.norm() * unit(z), alpha)


samo_direction = Exercise(
    arguments=("g0", "z", "plus", "minus", "alpha"),
    cases=[
        (vector(3, 4), vector(1, -1), 2.5, 2.1, 0.5),
        (vector(0.2, -0.1, 0.3), vector(-0.5, 1.2, 0.4), 0.7, 0.9, 0.3),
        (vector(-2, 1, 0.5), vector(0.3, 0.8, -1.5), 1.6, 1.2, 0.7),
    ],
    right=_samo,
    mistakes={
        "the scaling is missing. Give the local part the length of g0.": (
            lambda g0, z, plus, minus, alpha: _mix(g0, (plus - minus) * z, alpha)
        ),
        "z keeps its own length. Give the local part the length of g0.": (
            lambda g0, z, plus, minus, alpha: _mix(g0, _sign(plus, minus) * z, alpha)
        ),
        "the local part has the length 1. Give it the length of g0.": (
            lambda g0, z, plus, minus, alpha: _mix(g0, _sign(plus, minus) * unit(z), alpha)
        ),
        "the two losses do not enter. Turn z round if the loss is higher at the minus end.": (
            lambda g0, z, plus, minus, alpha: _mix(g0, g0.norm() * unit(z), alpha)
        ),
        "your sign is turned round. The gradient points uphill: along z if the plus end is higher.": (
            lambda g0, z, plus, minus, alpha: _samo(g0, z, minus, plus, alpha)
        ),
        "the difference of the losses still scales the local part. After the scaling its sign is left.": (
            lambda g0, z, plus, minus, alpha: _mix(g0, (plus - minus) * g0.norm() * unit(z), alpha)
        ),
        "α belongs to g0, and 1 - α to the local part.": (
            lambda g0, z, plus, minus, alpha: _samo(g0, z, plus, minus, 1 - alpha)
        ),
        "you return the local part alone. Add α g0 to (1 - α) times it.": (
            lambda g0, z, plus, minus, alpha: _samo(g0, z, plus, minus, 0.0)
        ),
        "the weights α and 1 - α are missing.": (
            lambda g0, z, plus, minus, alpha: 2 * _samo(g0, z, plus, minus, 0.5)
        ),
        "you divide the sum by its length. That comes later, over all layers together.": (
            lambda g0, z, plus, minus, alpha: unit(_samo(g0, z, plus, minus, alpha))
        ),
    },
    praise="the two losses have given one bit: the sign of z.",
)


def _ratio(then: Tensor, now: Tensor) -> Tensor:
    return torch.where(then.norm() > 0, now.norm() / then.norm(), 0.0)


reused_flat = Exercise(
    arguments=("flat", "then", "now"),
    cases=[
        (vector(0.5, -1), vector(3, 4), vector(1, 2)),
        (vector(0.3, 0.2, -0.4), vector(1, -2, 2), vector(-4, 2, 4)),
        (vector(2, 0.5), vector(0.1, -0.2), vector(0.3, 0.5)),
        (vector(0, 0), vector(0, 0), vector(1, 1)),
    ],
    edges=1,
    right=lambda flat, then, now: flat * _ratio(then, now),
    mistakes={
        "your ratio is upside down. If the gradient has become half as long, the flat part does too.": (
            lambda flat, then, now: flat * _ratio(now, then)
        ),
        "you take squared lengths. Take lengths.": lambda flat, then, now: flat * _ratio(then, now) ** 2,
        "you give the flat part the length of the gradient. It keeps its own length, times the ratio.": (
            lambda flat, then, now: flat * now.norm() / flat.norm()
        ),
        "you divide entry by entry, so the direction turns. Multiply the vector by one number.": (
            lambda flat, then, now: flat * now / then
        ),
        "the old length is missing: divide by ‖then‖.": lambda flat, then, now: flat * now.norm(),
        "the new length is missing: multiply by ‖now‖.": lambda flat, then, now: flat / then.norm(),
        "you add the change of the gradient. Rescale the flat part, and add nothing.": (
            lambda flat, then, now: flat + now - then
        ),
        "you keep only the part at a right angle to the gradient, as LookSAM does. Keep the whole flat "
        "part here.": lambda flat, then, now: (
            (flat - flat @ then / (then @ then) * then) * now.norm() / then.norm()
        ),
        "only a gradient of 0 is left. It had no flat part, so return zeros.": (
            lambda flat, then, now: flat * now.norm() / then.norm()
        ),
    },
    praise="no pass was needed: the flat part follows the length of the gradient.",
)


def _svd(matrix: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    U, S, Vh = torch.linalg.svd(matrix, full_matrices=False)
    return U, S, Vh


def _polar(matrix: Tensor) -> Tensor:
    U, _, Vh = _svd(matrix)
    return U @ Vh


polar = Exercise(
    arguments=("matrix",),
    cases=[
        (torch.stack([vector(3, 1), vector(-1, 0.5)]),),
        (torch.stack([vector(1, 2, 0), vector(-2, 0.5, 1)]),),
        (torch.stack([vector(0.2, 0.1), vector(0.4, -0.3), vector(-0.1, 0.2)]),),
    ],
    right=_polar,
    mistakes={
        "torch.linalg.svd returns Vᵀ already. Do not transpose it again.": lambda matrix: (
            _svd(matrix)[0] @ _svd(matrix)[2].T
        ),
        "without full_matrices=False U and Vᵀ are square, and do not fit together.": lambda matrix: (
            torch.linalg.svd(matrix)[0] @ torch.linalg.svd(matrix)[2]
        ),
        "you divide the matrix by its length. Then the singular values keep their ratios; all should be 1.": (
            lambda matrix: matrix / matrix.norm()
        ),
        "you divide by the largest singular value. Only that one becomes 1, but all should.": lambda matrix: (
            matrix / torch.linalg.matrix_norm(matrix, 2)
        ),
        "you give every row the length 1. The singular values should be 1, not the rows.": unit,
        "you take the signs of the entries. The singular values should be 1, not the entries.": torch.sign,
        "you return the transpose. U comes first.": lambda matrix: _polar(matrix).T,
        "you return the singular values. Return the matrix U Vᵀ.": lambda matrix: _svd(matrix)[1],
        "you divide by S twice, so small singular values become large ones. Leave S out.": lambda matrix: (
            _svd(matrix)[0] / _svd(matrix)[1] @ _svd(matrix)[2]
        ),
    },
    praise="every direction that the gradient has is now equally long.",
)
