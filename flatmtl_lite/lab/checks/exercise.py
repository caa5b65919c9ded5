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

NEARLY = (
    "your answers are right to about one part in a thousand, but not exactly. Look for a rounding, or for a "
    "small number that you add, such as 1e-6 in a denominator."
)

# a part of PyTorch's message -> what went wrong, for mistakes that learners often make
ERRORS = {
    "a leaf Variable that requires grad": (
        "a parameter cannot be changed in place while PyTorch records gradients. Put the change inside "
        "`with torch.no_grad():`."
    ),
    "not have been used in the graph": (
        "the loss did not read the tensor whose gradient you ask for. A line such as w = w + ε makes a new "
        "tensor that no loss ever reads. Change w itself: w.copy_(...) inside `with torch.no_grad():`."
    ),
    "does not require grad": (
        "the tensor whose gradient you ask for is not tracked. A line such as w = w + ε inside "
        "torch.no_grad() makes a new, untracked tensor. Change w itself: w.copy_(...)."
    ),
    "backward through the graph a second time": (
        "the first gradient used up the graph. Compute the loss again, or pass retain_graph=True."
    ),
    "modified by an inplace operation": (
        "a tensor that the gradient needs was changed after the loss was computed. Take the gradient first, "
        "or compute the loss again."
    ),
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
        first = agrees.index(False)
        case = ", ".join(
            f"{name} = {_text(value)}" for name, value in zip(self.arguments, self.cases[first], strict=True)
        )
        if ignored := self._ignored(answers):
            return Feedback("keep working", f"{ignored} For {case} expected {_text(expected[first])}.")
        for message, mistaken in self.mistakes.items():
            wrong = [_outcome(mistaken, copy.deepcopy(case)) for case in self.cases]
            if all(map(_equal, answers, wrong)):
                return Feedback("almost", message)
        for error in answers:
            if isinstance(error, Exception):
                return Feedback("keep working", _error_text(error))
        if all(_equal(value, truth, rtol=1e-3) for value, truth in zip(answers, expected, strict=True)):
            return Feedback("almost", NEARLY)
        given, truth = _different_texts(answers[first], expected[first])
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
            if all(_equal(value, case[k]) for value, case in zip(answers, self.cases, strict=True)):
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


def _error_text(error: Exception) -> str:
    """Say which error a function raised, in plain words where PyTorch's own are hard to read."""
    plain = next((words for part, words in ERRORS.items() if part in str(error)), None)
    raised = f"{type(error).__name__}: {error}"
    return (
        f"your function raised an error: {plain} (PyTorch says: {raised})"
        if plain
        else (f"your function raised {raised}")
    )


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
    if isinstance(value, Tensor):
        return str(value.detach().double().numpy().round(digits).tolist())
    return f"{value:.{digits}g}" if isinstance(value, float) else str(value)
