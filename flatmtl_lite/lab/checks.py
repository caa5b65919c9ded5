"""Exercises that answer at once: missing, keep working, almost (naming the likely mistake), correct."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape

import torch
from torch import Tensor

from ..aggregation import Mean, PCGrad
from ..diagnostics import angles
from ..perturbation import worst_case

LOOKS = {
    "missing": ("…", "#444444", "#eeeeee"),
    "keep working": ("✗", "#8a3c00", "#fbe5d8"),
    "almost": ("◑", "#6b4e00", "#fdf0cf"),
    "correct": ("✓", "#00573f", "#d9f2ea"),
}


@dataclass
class Feedback:
    """What a check says: one of the four states of ``LOOKS``, and a sentence."""

    state: str
    message: str

    def __repr__(self) -> str:
        return f"{LOOKS[self.state][0]} {self.state}: {self.message}"

    def _repr_html_(self) -> str:
        mark, ink, paper = LOOKS[self.state]
        box = f"color:{ink};background:{paper};border-left:6px solid {ink};padding:6px 10px;font-size:110%"
        return f"<div role='status' style='{box}'><b>{mark} {self.state}</b>: {escape(self.message)}</div>"


@dataclass(frozen=True)
class Exercise:
    """A function to write, checked against the core and against the classic mistakes.

    Call it with the learner's function.

    Attributes:
        arguments: their names.
        cases: tuples of arguments to try.
        right: the core's own answer.
        mistakes: what to say -> a function that makes this mistake.
        praise: what to say when all cases are right.
    """

    arguments: Sequence[str]
    cases: Sequence[tuple]
    right: Callable
    mistakes: Mapping[str, Callable] = field(default_factory=dict)
    praise: str = "it agrees with the core on every case."

    def __call__(self, answer: Callable) -> Feedback:
        """Try the learner's function on every case."""
        if not callable(answer):
            what = f"Got {answer!r}; hand over the function itself, its name without brackets."
            return Feedback("missing" if answer in (None, ...) else "keep working", what)
        used = [_copies(case) for case in self.cases]
        try:
            given = [answer(*arguments) for arguments in used]
        except NotImplementedError:
            given = [None]
        except Exception as error:
            return Feedback("keep working", f"your function raised {type(error).__name__}: {error}")
        if all(value is None or value is ... for value in given):
            return Feedback(
                "missing", "your function returns nothing yet; write its body and run the cell again."
            )
        expected = [self.right(*_copies(case)) for case in self.cases]
        agrees = [_equal(value, truth) for value, truth in zip(given, expected, strict=True)]
        if all(agrees):
            if spoiled := self._changed(used):
                return Feedback(
                    "almost",
                    f"the answer is right, but your function changes {spoiled} in place (as += does), which "
                    "its caller still needs: make a new tensor.",
                )
            return Feedback("correct", self.praise)
        for message, mistaken in self.mistakes.items():
            wrong = [mistaken(*_copies(case)) for case in self.cases]
            if all(map(_equal, given, wrong)):
                return Feedback("almost", message)
        first = agrees.index(False)
        case = ", ".join(
            f"{name} = {_text(value)}" for name, value in zip(self.arguments, self.cases[first], strict=True)
        )
        return Feedback(
            "keep working",
            f"for {case} yours gives {_text(given[first])}, expected {_text(expected[first])}.",
        )

    def _changed(self, used: Sequence[list]) -> str | None:
        """The name of an argument that is no longer what it was."""
        for arguments, case in zip(used, self.cases, strict=True):
            for name, value, original in zip(self.arguments, arguments, case, strict=True):
                if isinstance(original, Tensor) and not torch.equal(value, original):
                    return name
        return None


def _vector(*numbers: float) -> Tensor:
    return torch.tensor(numbers, dtype=torch.float64)


def _unit(g: Tensor) -> Tensor:
    return g / g.norm(dim=-1, keepdim=True)


def _cosine(g1: Tensor, g2: Tensor) -> Tensor:
    return (_unit(g1) * _unit(g2)).sum()


def _deconflict(g: Tensor, other: Tensor, always: bool = False, by: Tensor | None = None) -> Tensor:
    dot = g @ other
    by = other if by is None else by
    return g - dot / (by @ by) * other if always or dot < 0 else g


_PAIRS = [
    (_vector(1, 0), _vector(-1, 1)),
    (_vector(2, 1), _vector(1, 3)),
    (_vector(0.3, -4), _vector(1, 2)),
    (_vector(0, 1), _vector(5, 0)),
]

angle = Exercise(
    arguments=("g1", "g2"),
    cases=_PAIRS,
    right=lambda g1, g2: angles(torch.stack([g1, g2]))[0, 1],
    mistakes={
        "these are radians; the angle is asked for in degrees (torch.rad2deg).": lambda g1, g2: torch.acos(
            _cosine(g1, g2)
        ),
        "this is the cosine; its angle is still to be taken (torch.acos), in degrees.": _cosine,
        "divide the inner product by both lengths before torch.acos, else the lengths enter the angle.": (
            lambda g1, g2: torch.rad2deg(torch.acos(g1 @ g2))
        ),
        "an absolute value hides every conflict: angles above 90° must come out above 90°.": (
            lambda g1, g2: torch.rad2deg(torch.acos(_cosine(g1, g2).abs()))
        ),
    },
    praise="your angle is the core's; above 90° the tasks are in conflict.",
)

mean_step = Exercise(
    arguments=("theta", "G", "lr"),
    cases=[
        (_vector(1, 2), torch.stack(_PAIRS[0]), 0.1),
        (_vector(-3, 0.5), torch.stack(_PAIRS[2]), 0.5),
    ],
    right=lambda theta, G, lr: theta - lr * Mean()(G),
    mistakes={
        "you add up the gradients; their mean is asked for (a sum silently doubles the learning rate).": (
            lambda theta, G, lr: theta - lr * G.sum(0)
        ),
        "this climbs: the step goes against the gradient.": lambda theta, G, lr: theta + lr * G.mean(0),
        "the mean runs over the tasks (the rows of G), not over the coordinates.": (
            lambda theta, G, lr: theta - lr * G.mean(1)
        ),
        "this is only the direction; the new point θ is asked for.": lambda theta, G, lr: -lr * G.mean(0),
    },
    praise="that is gradient descent on the mean loss, linear scalarisation.",
)

pcgrad = Exercise(
    arguments=("g1", "g2"),
    cases=_PAIRS,
    right=lambda g1, g2: PCGrad()(torch.stack([g1, g2])),
    mistakes={
        "you project always; only gradients that conflict (inner product below 0) give something up.": (
            lambda g1, g2: (_deconflict(g1, g2, always=True) + _deconflict(g2, g1, always=True)) / 2
        ),
        "you add the two up; here PCGrad takes their mean, so that equal gradients stay as they are.": (
            lambda g1, g2: _deconflict(g1, g2) + _deconflict(g2, g1)
        ),
        "the inner product must be divided by the squared length of the gradient that is projected out.": (
            lambda g1, g2: (_deconflict(g1, g2, by=g1) + _deconflict(g2, g1, by=g2)) / 2
        ),
        "only one of the two gives something up; each must, measured against the other as it was at first.": (
            lambda g1, g2: (_deconflict(g1, g2) + g2) / 2
        ),
    },
    praise="for two tasks this is PCGrad.",
)

_GRADIENTS = [_vector(3, 4), _vector(-0.2, 0.05), _vector(0, 7), _vector(0, 0)]

perturbation = Exercise(
    arguments=("g", "rho"),
    cases=[(g, rho) for g in _GRADIENTS for rho in (0.05, 0.5)],
    right=worst_case,
    mistakes={
        "ρ is the length of ε, so the gradient must first be divided by its own length.": (
            lambda g, rho: rho * g
        ),
        "this goes downhill; the worst case lies uphill.": lambda g, rho: -worst_case(g, rho),
        "divided by the squared length: g/‖g‖² is not of length 1.": (
            lambda g, rho: torch.where(g.norm() > 0, rho * g / (g @ g).clamp_min(1e-300), 0.0)
        ),
        "divided by the squared length (and NaN where the gradient is 0): g/‖g‖² is not of length 1.": (
            lambda g, rho: rho * g / (g @ g)
        ),
        "right but for one case: where the gradient is 0 yours is NaN; there ε is 0.": (
            lambda g, rho: rho * _unit(g)
        ),
        "the sign of each entry is the worst case in a box; in a ball it is the direction of g.": (
            lambda g, rho: rho * g.sign()
        ),
    },
    praise="ε points uphill and is ρ long, whatever the length of the gradient.",
)


def gradient_of_a_bowl(theta: Tensor) -> Tensor:
    """Gradient of (x² + 9 y²)/2."""
    return theta * _vector(1, 9)


def _moved(theta: Tensor, gradient: Callable, rho: float) -> Tensor:
    return theta + worst_case(gradient(theta), rho)


sam_gradient = Exercise(
    arguments=("gradient", "theta", "rho"),
    cases=[
        (gradient_of_a_bowl, _vector(1, 1), 0.1),
        (gradient_of_a_bowl, _vector(-2, 0.3), 0.5),
        (torch.sin, _vector(0.4, 1), 0.3),
    ],
    right=lambda gradient, theta, rho: gradient(_moved(theta, gradient, rho)),
    mistakes={
        "this is the gradient at θ; SAM takes it at θ+ε.": lambda gradient, theta, rho: gradient(theta),
        "taken at θ-ε: ε must go uphill.": lambda gradient, theta, rho: gradient(
            2 * theta - _moved(theta, gradient, rho)
        ),
        "ε moves the point, not the gradient: evaluate the gradient again at θ+ε.": (
            lambda gradient, theta, rho: gradient(theta) + worst_case(gradient(theta), rho)
        ),
        "this is the flat part g(θ+ε) - g(θ); SAM's gradient is the whole g(θ+ε).": (
            lambda gradient, theta, rho: gradient(_moved(theta, gradient, rho)) - gradient(theta)
        ),
        "the gradient was not divided by its length before the step of ρ.": (
            lambda gradient, theta, rho: gradient(theta + rho * gradient(theta))
        ),
    },
    praise="that is SAM's gradient: look uphill, come back, and step with what you saw there.",
)

shared_epsilon = Exercise(
    arguments=("G", "rho"),
    cases=[(torch.stack(pair), rho) for pair in _PAIRS for rho in (0.1, 1.0)],
    right=lambda G, rho: worst_case(G.mean(0), rho),
    mistakes={
        "this is the mean of the tasks' own ε; it is shorter than ρ. Take the mean of the gradients first.": (
            lambda G, rho: worst_case(G, rho).mean(0)
        ),
        "this gives every task its own ε; one shared ε of the mean gradient is asked for.": worst_case,
        "the sum of the tasks' ε is not of length ρ.": lambda G, rho: worst_case(G, rho).sum(0),
        "ρ is the length of ε: divide the mean gradient by its own length.": lambda G, rho: rho * G.mean(0),
    },
    praise="one ε for all tasks: the worst case of the mean loss, at the price of one pass.",
)

adaptive_epsilon = Exercise(
    arguments=("g", "theta", "rho"),
    cases=[
        (_vector(3, 4), _vector(1, 2), 0.5),
        (_vector(-1, 0.5), _vector(-0.2, 3), 0.1),
        (_vector(2, -1), _vector(0.5, -0.5), 1.0),
    ],
    right=lambda g, theta, rho: worst_case(g, rho, theta),
    mistakes={
        "this is plain SAM: the size of each weight must enter.": lambda g, theta, rho: worst_case(g, rho),
        "|θ| enters twice: once inside the norm, and once more on the way back, ε = ρ |θ|²g/‖|θ|g‖.": (
            lambda g, theta, rho: worst_case(theta.abs() * g, rho)
        ),
        "the norm in the denominator is that of |θ|g, not that of g.": (
            lambda g, theta, rho: rho * theta**2 * g / g.norm()
        ),
        "the norm in the denominator is that of |θ|g, not that of |θ|²g.": (
            lambda g, theta, rho: worst_case(theta**2 * g, rho)
        ),
    },
    praise="measured in units of each weight, ‖ε/θ‖ = ρ: rescaling a weight no longer changes the picture.",
)


def _copies(case: tuple) -> list:
    return [value.clone() if isinstance(value, Tensor) else value for value in case]


def _equal(value, truth) -> bool:
    try:
        value = torch.as_tensor(value, dtype=torch.float64)
    except (TypeError, ValueError, RuntimeError):
        return False
    truth = torch.as_tensor(truth, dtype=torch.float64)
    return value.shape == truth.shape and torch.allclose(value, truth, rtol=1e-6, atol=1e-9, equal_nan=True)


def _text(value) -> str:
    if callable(value):
        return getattr(value, "__name__", "a function").lstrip("_")
    if isinstance(value, Tensor):
        return (
            str([round(v, 4) for v in value.tolist()])
            if value.ndim == 1
            else str(value.detach().double().numpy().round(4).tolist())
        )
    return f"{value:.4g}" if isinstance(value, float) else str(value)
