"""An exercise that answers at once: missing, keep working, almost (with the likely mistake), correct."""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape

import torch
from torch import Tensor

from .errors import error_text

# state -> its mark and its colour, which is seen on light and on dark pages
LOOKS = {
    "missing": ("…", "#808080"),
    "keep working": ("✗", "#d55e00"),
    "almost": ("◑", "#a87400"),
    "correct": ("✓", "#009e73"),
}
TINT = "26"  # opacity of the ground, in hexadecimal: the letters keep the page's own colour

NEARLY = (
    "your answers are right to about one part in a thousand, but not exactly. Look for a rounding, or for a "
    "small number that you add, such as 1e-6 in a denominator."
)


@dataclass
class Feedback:
    """The answer of a check: one of the four states of ``LOOKS``, and a sentence."""

    state: str
    message: str

    def __repr__(self) -> str:
        return f"{LOOKS[self.state][0]} {self.state}: {self.message}"

    def _repr_html_(self) -> str:
        mark, color = LOOKS[self.state]
        ink, look = "var(--jp-content-font-color1, inherit)", "padding:6px 10px;font-size:110%"
        box = f"color:{ink};background:{color}{TINT};border-left:6px solid {color};{look}"
        return f"<div role='status' style='{box}'><b>{mark} {self.state}</b>: {escape(self.message)}</div>"


@dataclass(frozen=True)
class Exercise:
    """A function to write, checked against the core and against the classic mistakes.

    Call it with the learner's function.

    Attributes:
        arguments: names of the arguments.
        cases: tuples of arguments to try. Every call gets fresh copies. The ordinary ones come first.
        right: the core's function.
        mistakes: hint -> a function that makes this mistake.
        praise: the sentence when all cases are right.
        changed: the sentence when all cases are right, but the function changed the argument {name}.
        edges: how many of the last cases are special, such as a gradient of 0. They count only when all
            ordinary cases are right.
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
    edges: int = 0

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
        ordinary = len(self.cases) - self.edges
        count = len(self.cases) if all(agrees[:ordinary]) else ordinary
        return self._diagnosis(answers[:count], expected[:count])

    def _diagnosis(self, answers: Sequence, expected: Sequence) -> Feedback:
        """Say what is wrong with the answers to the first cases. At least one of them is wrong."""
        pairs = list(zip(answers, expected, strict=True))
        first = [_equal(value, truth) for value, truth in pairs].index(False)
        case = ", ".join(
            f"{name} = {_text(value)}" for name, value in zip(self.arguments, self.cases[first], strict=True)
        )
        if ignored := self._ignored(answers):
            return Feedback("keep working", f"{ignored} For {case} expected {_text(expected[first])}.")
        for message, mistaken in self.mistakes.items():
            wrong = [_outcome(mistaken, copy.deepcopy(case)) for case in self.cases[: len(answers)]]
            if all(map(_equal, answers, wrong)):
                return Feedback("almost", message)
        for error in answers:
            if isinstance(error, Exception):
                return Feedback("keep working", error_text(error))
        if all(_equal(value, truth, rtol=1e-3) for value, truth in pairs):
            return Feedback("almost", NEARLY)
        if shape := _shape_text(*pairs[first]):
            return Feedback("keep working", f"for {case} {shape}")
        given, truth = _different_texts(*pairs[first])
        return Feedback("keep working", f"for {case} your function gives {given}, expected {truth}.")

    def _ignored(self, answers: Sequence) -> str | None:
        """Return a sentence if the answers do not depend on the arguments, or are one of them unchanged."""
        if any(isinstance(value, Exception) for value in answers):
            return None
        if all(_equal(value, answers[0]) for value in answers):
            return f"your function gives {_text(answers[0])} in every case. It must depend on its arguments."
        if all(isinstance(value, Tensor) and not value.any() for value in answers):
            return "your function gives zeros in every case. It must depend on its arguments."
        for k, name in enumerate(self.arguments):
            if all(_equal(value, case[k]) for value, case in zip(answers, self.cases, strict=False)):
                return f"your function gives back {name} as it is."
        return None

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


def _equal(value, truth, rtol: float = 1e-6) -> bool:
    if isinstance(truth, (tuple, list)):
        several = isinstance(value, (tuple, list)) and len(value) == len(truth)
        return several and all(_equal(v, t, rtol) for v, t in zip(value, truth, strict=True))
    if isinstance(truth, Exception):
        return type(value) is type(truth)
    try:
        value, truth = (torch.as_tensor(v, dtype=torch.float64) for v in (value, truth))
    except (TypeError, ValueError, RuntimeError):
        return False
    return value.shape == truth.shape and torch.allclose(value, truth, rtol=rtol, atol=1e-9, equal_nan=True)


def _shape_text(value, truth) -> str | None:
    """Say how many values are expected if the function returns more or fewer, or in another shape."""
    if value is None:
        return "your function returns nothing. Every path through it must end in a return."
    matrix = isinstance(truth, Tensor) and truth.ndim > 1
    if matrix and isinstance(value, (tuple, list)) and _equal(value, [*truth]):
        return "your numbers are right, but they are not one tensor. Join them with torch.stack."
    if not isinstance(value, Tensor) or not isinstance(truth, (Tensor, bool, float)):
        return None
    truth = torch.as_tensor(truth)
    if value.shape == truth.shape:
        return None
    if truth.dtype == torch.bool:
        return (
            f"your function gives several answers, {_text(value)}. Return one True or False for the whole: "
            "torch.allclose compares whole vectors, and .all() joins the answers of a comparison."
        )
    if truth.ndim == 0:
        return f"your function gives several numbers, {_text(value)}. Return one: expected {_text(truth)}."
    if value.numel() == truth.numel() and _equal(value.reshape(truth.shape), truth):
        return (
            f"your numbers are right, but they have the shape {tuple(value.shape)}, expected "
            f"{tuple(truth.shape)}."
        )
    return None


def _different_texts(value, truth) -> tuple[str, str]:
    """Write two values with as many digits as show that they differ."""
    for digits in (4, 6, 9):
        texts = _text(value, digits), _text(truth, digits)
        if texts[0] != texts[1]:
            break
    return texts


def _text(value, digits: int = 4) -> str:
    if isinstance(value, list):
        return f"[{', '.join(_text(v, digits) for v in value)}]"
    if callable(value):
        return getattr(value, "__name__", type(value).__name__).lstrip("_")
    if isinstance(value, tuple):
        return f"({', '.join(_text(v, digits) for v in value)})"
    if isinstance(value, Tensor) and value.dtype == torch.bool:
        return str(value.tolist())
    if isinstance(value, Tensor):
        return str(value.detach().double().numpy().round(digits).tolist())
    return f"{value:.{digits}g}" if isinstance(value, float) else str(value)
