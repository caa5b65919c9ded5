"""Exercise of notebook 05: the whole F-method, which must put the weights back."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from ...aggregation import MGDA, Aggregator, Mean, PCGrad
from ...decomposition import Decomposition, decomposed
from ...passes import decompose
from ...perturbation import worst_case
from .exercise import Exercise, Feedback, _outcome
from .vectors import vector

FORGOTTEN = (
    "w never comes back: it still holds an ε when your function ends. Before the loop, write "
    "old = w.detach().clone(). After the second gradient of each task, write w.copy_(old) inside "
    "`with torch.no_grad():`. Otherwise the next task starts at the wrong point."
)
SAME = (
    "w never comes back: old = w makes no copy. It is a second name for w, so w.copy_(old) changes nothing. "
    "Write old = w.detach().clone()."
)
SHARED = (
    "w never comes back: your copy shares its memory with w, so it moves along. w.detach() and w.data "
    "make no copy. Write old = w.detach().clone()."
)


ADOPTED = (
    "w never comes back: after w.data = old the two share their memory, so the next change of w changes your "
    "copy too. Write w.copy_(old) inside `with torch.no_grad():`."
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
    late: bool = False,
    one_loop: bool = False,
) -> Tensor:
    """Return the F-method as a learner writes it. The options make the classic mistakes."""
    G, theta, rows = _gradients(w, losses), w.detach().clone(), []
    for k, loss in enumerate(losses):
        if one_loop:
            G[k] = torch.autograd.grad(loss(), w)[0]
        w.data.add_(epsilon(G, rho).expand_as(G)[k])
        rows += [torch.autograd.grad(loss(), w)[0]]
        if not late:
            w.data.copy_(theta)
    w.data.copy_(theta)
    return rule(A, G, torch.stack(rows) - G)


def _mistake(**options) -> Callable:
    return lambda *arguments: _f_method(*arguments, **options)


class Watch(TorchFunctionMode):
    """Notice when a tensor w is given values from its own memory, which changes nothing."""

    def __init__(self, w: Tensor):
        super().__init__()
        self.w = w
        self.hint = FORGOTTEN
        self.adopted: Tensor | None = None  # the tensor whose memory w uses since w.data = tensor

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if func.__name__ in ("copy_", "__setitem__", "__set__"):
            target, source = args[0], args[-1]
            if _share_memory(target, self.w) and _share_memory(source, self.w):
                self.hint = SAME if source is self.w else ADOPTED if source is self.adopted else SHARED
            elif func.__name__ == "__set__" and target is self.w:
                self.adopted = source
        return func(*args, **(kwargs or {}))


def _share_memory(value, w: Tensor) -> bool:
    return isinstance(value, Tensor) and value.untyped_storage().data_ptr() == w.untyped_storage().data_ptr()


class RestoringExercise(Exercise):
    """An exercise whose function changes its first argument for a while and must put it back."""

    def __call__(self, answer: Callable) -> Feedback:
        """Try the function. If it leaves its first argument changed, say why instead of what it returns."""
        feedback = super().__call__(answer)
        if feedback.state == "missing":
            return feedback
        w, *others = copy.deepcopy(self.cases[0])
        before = w.detach().clone()
        with Watch(w) as watch:
            result = _outcome(answer, (w, *others))
        # a rounding error has a sentence of its own, and so has an error
        if isinstance(result, Exception) or torch.allclose(w, before):
            return feedback
        return Feedback("almost", watch.hint)


f_method = RestoringExercise(
    arguments=("w", "losses", "rho", "A"),
    cases=[
        _case((1, -0.5), (bowl, wave), 0.3, MGDA()),
        _case((0.4, 0.8, -1), (bowl, wave, valley), 0.2, MGDA()),
        _case((0.3, 1.1), (wave, valley), 0.5, PCGrad()),
        _case((-1, 0.6, 0.2), (valley, wave, bowl), 0.1, Mean()),
        _case((0, -1), (bowl, saddle), 0.3, Mean()),  # the second gradient is 0
    ],
    edges=1,
    right=lambda w, losses, rho, A: decomposed(_split(w, losses, rho), A),
    mistakes={
        "w comes back only after the loop. The second task still sees the ε of the first. Put the copy back "
        "after each task.": _mistake(late=True),
        "w comes back only after the loop, so both gradients of the second task are taken at a wrong point. "
        "Put the copy back after each task.": _mistake(late=True, one_loop=True),
        "divide each gradient by its length, not by its squared length.": (
            _mistake(epsilon=lambda G, rho: rho * G / G.norm(dim=1, keepdim=True) ** 2)
        ),
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
        "only a task whose gradient is 0 is still wrong: 0/0 makes its ε NaN. There ε must be 0.": (
            _mistake(epsilon=lambda G, rho: rho * G / G.norm(dim=1, keepdim=True))
        ),
        "you aggregate the whole SAM gradients, which is the direct rule. Subtract the loss part "
        "from each, and "
        "call the aggregator for both parts.": _mistake(rule=lambda A, loss, flat: A(loss + flat)),
        "A(loss) + A(SAM) counts the loss twice. The flat part is the SAM gradient minus the loss part.": (
            _mistake(rule=lambda A, loss, flat: A(loss) + A(loss + flat))
        ),
        "your flat part has the wrong sign. It is the gradient at θ+ε minus the gradient at θ.": (
            _mistake(rule=lambda A, loss, flat: A(loss) + A(-flat))
        ),
        "ρ is missing: your ε has length 1. Multiply by ρ.": _mistake(
            epsilon=lambda G, rho: worst_case(G, 1.0)
        ),
        "divide each gradient by its own length. You divide all of them by the length of the whole matrix.": (
            _mistake(epsilon=lambda G, rho: rho * G / G.norm())
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
