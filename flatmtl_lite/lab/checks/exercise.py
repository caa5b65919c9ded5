"""An exercise that answers at once: missing, keep working, almost (with the likely mistake), correct."""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape

import torch
from torch import Tensor

LOOKS = {
    "missing": ("…", "#444444", "#eeeeee"),
    "keep working": ("✗", "#8a3c00", "#fbe5d8"),
    "almost": ("◑", "#6b4e00", "#fdf0cf"),
    "correct": ("✓", "#00573f", "#d9f2ea"),
}


@dataclass
class Feedback:
    """The answer of a check: one of the four states of ``LOOKS``, and a sentence."""

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
        arguments: names of the arguments.
        cases: tuples of arguments to try. Every call gets fresh copies.
        right: the core's function.
        mistakes: hint -> a function that makes this mistake.
        praise: the sentence when all cases are right.
        changed: the sentence when all cases are right, but the function changed the argument {name}.
    """

    arguments: Sequence[str]
    cases: Sequence[tuple]
    right: Callable
    mistakes: Mapping[str, Callable] = field(default_factory=dict)
    praise: str = "your function agrees with the core in every case."
    changed: str = (
        "the answer is right, but your function changes {name} in place (as += does), and the caller still "
        "needs the old values. Make a new tensor."
    )

    def __call__(self, answer: Callable) -> Feedback:
        """Try the learner's function on every case."""
        if not callable(answer):
            message = f"Got {answer!r}; pass the function itself: write its name without brackets."
            return Feedback("missing" if answer in (None, ...) else "keep working", message)
        used = [copy.deepcopy(case) for case in self.cases]
        answers = [_outcome(answer, arguments) for arguments in used]
        if all(value is None or value is ... for value in answers):
            return Feedback(
                "missing", "your function returns nothing yet. Write its body and run the cell again."
            )
        expected = [self.right(*copy.deepcopy(case)) for case in self.cases]
        agrees = [_equal(value, truth) for value, truth in zip(answers, expected, strict=True)]
        if all(agrees):
            if name := self._name_of_changed(used):
                return Feedback("almost", self.changed.format(name=name))
            return Feedback("correct", self.praise)
        for message, mistaken in self.mistakes.items():
            wrong = [_outcome(mistaken, copy.deepcopy(case)) for case in self.cases]
            if all(map(_equal, answers, wrong)):
                return Feedback("almost", message)
        for error in answers:
            if isinstance(error, Exception):
                return Feedback("keep working", f"your function raised {type(error).__name__}: {error}")
        first = agrees.index(False)
        case = ", ".join(
            f"{name} = {_text(value)}" for name, value in zip(self.arguments, self.cases[first], strict=True)
        )
        return Feedback(
            "keep working",
            f"for {case} your function gives {_text(answers[first])}, expected {_text(expected[first])}.",
        )

    def _name_of_changed(self, used: Sequence[tuple]) -> str | None:
        """Return the name of an argument that the function changed."""
        for arguments, case in zip(used, self.cases, strict=True):
            for name, value, original in zip(self.arguments, arguments, case, strict=True):
                if isinstance(original, Tensor) and not torch.equal(value, original):
                    return name
        return None


def _outcome(answer: Callable, arguments: tuple):
    """Return the function's result, None if it is not written yet, or the exception that it raises."""
    try:
        return answer(*arguments)
    except NotImplementedError:
        return None
    except Exception as error:
        return error


def _equal(value, truth) -> bool:
    if isinstance(truth, tuple):
        several = isinstance(value, (tuple, list)) and len(value) == len(truth)
        return several and all(map(_equal, value, truth))
    if isinstance(truth, Exception):
        return type(value) is type(truth)
    try:
        value = torch.as_tensor(value, dtype=torch.float64)
    except (TypeError, ValueError, RuntimeError):
        return False
    truth = torch.as_tensor(truth, dtype=torch.float64)
    return value.shape == truth.shape and torch.allclose(value, truth, rtol=1e-6, atol=1e-9, equal_nan=True)


def _text(value) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_text, value))}]"
    if callable(value):
        return getattr(value, "__name__", type(value).__name__).lstrip("_")
    if isinstance(value, tuple):
        return f"({', '.join(map(_text, value))})"
    if isinstance(value, Tensor):
        return (
            str([round(v, 4) for v in value.tolist()])
            if value.ndim == 1
            else str(value.detach().double().numpy().round(4).tolist())
        )
    return f"{value:.4g}" if isinstance(value, float) else str(value)
