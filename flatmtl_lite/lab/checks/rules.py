"""Exercises of notebook 05: the decomposed rule, additive or not, the whole F-method."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ...aggregation import MGDA, Aggregator, Mean, PCGrad
from ...decomposition import Decomposition, decomposed, second
from ...passes import decompose
from ...perturbation import worst_case
from .exercise import Exercise
from .vectors import unit, vector

THREE = torch.stack([vector(1, 0, 2), vector(-1, 1, 0.3), vector(0.2, -2, 1)])
FLAT = torch.stack([vector(0.3, 1, -0.5), vector(0.4, 0.1, 0.9), vector(-1, 0.7, 0.2)])
TENTHS = torch.tensor([[0.1, 0.7], [0.2, -0.3]], dtype=torch.float64)  # whose sums round

decomposed_rule = Exercise(
    arguments=("loss", "flat", "A"),
    cases=[(THREE, FLAT, MGDA()), (THREE[:2], FLAT[:2], PCGrad()), (THREE[:2], 5 * FLAT[:2], MGDA())],
    right=lambda loss, flat, A: decomposed(Decomposition(loss, flat), A),
    mistakes={
        "this is the direct rule, A(loss + flat). Call the aggregator twice, once for each part.": (
            lambda loss, flat, A: A(loss + flat)
        ),
        "you count the loss twice. Make the second call with the flat part alone.": (
            lambda loss, flat, A: A(loss) + A(loss + flat)
        ),
        "you return only A(flat). Add A(loss).": (lambda loss, flat, A: A(flat)),
        "you return A(loss), which is ERM. Add A(flat).": lambda loss, flat, A: A(loss),
        "you put all 2T rows into one call, so the losses and the flatness compete. Make two calls.": (
            lambda loss, flat, A: A(torch.cat([loss, flat]))
        ),
        'you aggregate the two answers: this is the rule "second". Add them instead.': (
            lambda loss, flat, A: second(Decomposition(loss, flat), A)
        ),
        "you take the mean of the two answers, which is half as long. Add them.": lambda loss, flat, A: (
            (A(loss) + A(flat)) / 2
        ),
    },
    praise="one call settles the losses, one call settles the flatness, and you add the two answers.",
)


def unit_mean(G: Tensor) -> Tensor:
    return unit(G.mean(0))


def _same(first: Tensor, second: Tensor) -> bool:
    return torch.allclose(first, second)


additive = Exercise(
    arguments=("A", "G", "H"),
    cases=[
        (Mean(), TENTHS, TENTHS.flip(0) / 3),
        (Mean(), torch.stack([vector(2, 4), vector(6, -8)]), torch.eye(2, dtype=torch.float64)),
        (MGDA(), THREE, FLAT),
        (MGDA(), THREE, 2 * THREE),
        (PCGrad(), THREE[:2], FLAT[:2]),
        (PCGrad(), THREE[:2].abs(), FLAT[:2].abs()),
        (Mean(), THREE, 0 * THREE),
        (unit_mean, THREE, FLAT),
    ],
    right=lambda A, G, H: _same(A(G + H), A(G) + A(H)),
    mistakes={
        "== is False if numbers differ only by rounding. Compare with torch.allclose.": (
            lambda A, G, H: torch.equal(A(G + H), A(G) + A(H))
        ),
        "yours holds for every aggregator of this course, as A(2G) = 2A(G) does. Compare A(G + H) with "
        "A(G) + A(H).": (lambda A, G, H: _same(A(2 * G), 2 * A(G))),
        "the other way round: True where the sum of the answers is the answer to the sum.": (
            lambda A, G, H: not _same(A(G + H), A(G) + A(H))
        ),
        "you compare lengths. Compare the vectors.": (
            lambda A, G, H: _same(A(G + H).norm(), A(G).norm() + A(H).norm())
        ),
        "your test is False even for the mean. The right side is A(G) + A(H), not A(G) alone.": (
            lambda A, G, H: _same(A(G + H), A(G))
        ),
    },
    praise="one pair can show that A is not linear. No single pair can show that it is.",
)


@dataclass
class Loss:
    """A task's loss without an argument. It reads the weights in place, as the loss of a network does."""

    w: Tensor
    of: Callable[[Tensor], Tensor]

    def __post_init__(self):
        self.__name__ = self.of.__name__

    def __call__(self) -> Tensor:
        return self.of(self.w)


def bowl(w: Tensor) -> Tensor:
    return (torch.arange(1, len(w) + 1) * w**2).sum() / 2


def wave(w: Tensor) -> Tensor:
    return (torch.sin(2 * w) + 0.3 * w).sum()


def valley(w: Tensor) -> Tensor:
    return (w[0] - 2 * w[1] + 1) ** 4 / 4 - w[-1]


def saddle(w: Tensor) -> Tensor:
    return w[0] ** 2 * w[-1]


def _case(weights: Sequence[float], functions: Sequence[Callable], rho: float, A: Aggregator) -> tuple:
    w = vector(*weights).requires_grad_()
    return w, [Loss(w, function) for function in functions], rho, A


def _split(w: Tensor, losses: Sequence[Callable], rho: float) -> Decomposition:
    tasks = [lambda _, loss=loss: loss() for loss in losses]
    return decompose(lambda: w, tasks, shared=[w], heads=[[] for _ in losses], rho=rho)


def _gradients(w: Tensor, losses: Sequence[Callable]) -> Tensor:
    return torch.stack([torch.autograd.grad(loss(), w)[0] for loss in losses])


def _f_method(
    w: Tensor,
    losses: Sequence[Callable],
    rho: float,
    A: Aggregator,
    rule: Callable = lambda A, loss, flat: A(loss) + A(flat),
    epsilon: Callable[[Tensor, float], Tensor] = worst_case,
    comes_back: bool = True,
    one_loop: bool = False,
) -> Tensor:
    """Return the F-method as a learner writes it. The options make the classic mistakes."""
    G, theta, rows = _gradients(w, losses), w.detach().clone(), []
    for k, loss in enumerate(losses):
        if one_loop:
            G[k] = torch.autograd.grad(loss(), w)[0]
        w.data.add_(epsilon(G, rho).expand_as(G)[k])
        rows += [torch.autograd.grad(loss(), w)[0]]
        if comes_back:
            w.data.copy_(theta)
    return rule(A, G, torch.stack(rows) - G)


def _mistake(**options) -> Callable:
    return lambda *arguments: _f_method(*arguments, **options)


f_method = Exercise(
    arguments=("w", "losses", "rho", "A"),
    cases=[
        _case((1, -0.5), (bowl, wave), 0.3, MGDA()),
        _case((0.4, 0.8, -1), (bowl, wave, valley), 0.2, MGDA()),
        _case((0.3, 1.1), (wave, valley), 0.5, PCGrad()),
        _case((-1, 0.6, 0.2), (valley, wave, bowl), 0.1, Mean()),
        _case((0, -1), (bowl, saddle), 0.3, Mean()),  # the second gradient is 0
    ],
    right=lambda w, losses, rho, A: decomposed(_split(w, losses, rho), A),
    mistakes={
        "the weights never come back: the second task still sees the ε of the first. Copy w before "
        "the loop, and "
        "put the copy back after each task.": _mistake(comes_back=False),
        "the weights never come back: w.detach() shares its memory with w, so your copy moves along. "
        "Copy w with "
        ".clone().": _mistake(comes_back=False, one_loop=True),
        "your direction is half as long as it should be. Add the two answers; do not average them.": (
            _mistake(rule=lambda A, loss, flat: (A(loss) + A(flat)) / 2)
        ),
        "you use one ε for all tasks, from the mean gradient. Here each task needs an ε along its "
        "own gradient.": (_mistake(epsilon=lambda G, rho: worst_case(G.mean(0), rho))),
        "your ε goes downhill. It must go along the gradient, not against it.": (
            _mistake(epsilon=lambda G, rho: -worst_case(G, rho))
        ),
        "ε has length ρ. Divide each gradient by its own length first.": (
            _mistake(epsilon=lambda G, rho: rho * G)
        ),
        "only a task whose gradient is 0 goes wrong: 0/0 makes its ε NaN. There ε must be 0.": (
            _mistake(epsilon=lambda G, rho: rho * G / G.norm(dim=1, keepdim=True))
        ),
        "you aggregate the whole SAM gradients, which is the direct rule. Subtract the loss part "
        "from each, and "
        "call the aggregator for both parts.": _mistake(rule=lambda A, loss, flat: A(loss + flat)),
        "A(loss) + A(SAM) counts the loss twice. The flat part is the SAM gradient minus the loss part.": (
            _mistake(rule=lambda A, loss, flat: A(loss) + A(loss + flat))
        ),
        "you forget the loss part. Add A(loss) to A(flat).": (_mistake(rule=lambda A, loss, flat: A(flat))),
        "you put all 2T rows into one call. Call the aggregator for the loss parts, then for "
        "the flat parts.": (_mistake(rule=lambda A, loss, flat: A(torch.cat([loss, flat])))),
    },
    praise="this is Algorithm 1, and your weights are the same as before, bit for bit.",
    changed=(
        "the direction is right, but {name} is not bit for bit what it was. Copy it before the loop, "
        "and put the "
        "copy back at the end. Subtracting ε again leaves rounding errors, which add up over a training."
    ),
)
