"""Algorithm 1 of arXiv 2211.13723 next to the lines of the core that run it."""

import inspect
import sys
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from types import ModuleType

from ... import decomposition, gradients, optim, passes
from ...perturbation import sam, weights


@dataclass(frozen=True)
class Step:
    """One step of the algorithm, and the lines of the core that do it.

    Attributes:
        text: the step, in HTML.
        where: functions, or a module for lines outside of functions, each with the first words of the
            lines that do the step.
    """

    text: str
    where: Sequence[tuple[Callable | ModuleType, Sequence[str]]]

    @property
    def code(self) -> list[tuple[str, list[str]]]:
        """Names of the functions, each with its lines.

        Raises:
            ValueError: a function does not have exactly one such line.
        """
        return [(_name(home), _lines(home, starts)) for home, starts in self.where]


LOOP = passes.Passes._perturbed_gradients
STEPS = (
    Step(
        "g<sub>i,loss</sub> ← gradient of L<sub>i</sub> at θ, for every task i, for trunk and head",
        [(passes.Passes.run, ["clean = at_part = task_gradients"])],
    ),
    Step(
        "ε<sub>i</sub> ← ρ g<sub>i,loss</sub> / ‖g<sub>i,loss</sub>‖, for the trunk and for the head",
        [(sam.Perturbation.steps, ["lengths = ", "steps.append((Step(trunk, self.rho"])],
    ),
    Step(
        "g<sub>i,SAM</sub> ← gradient of L<sub>i</sub> at θ + ε<sub>i</sub>, and come back to θ",
        [
            (
                LOOP,
                [
                    "with restored(",
                    "for step, members",
                    "move(groups.shared",
                    "moved.enter_context(perturbed",
                    "part = task_gradients(",
                ],
            ),
            (weights.move, ["torch.add(w, e"]),
        ],
    ),
    Step(
        "g<sub>i,flat</sub> ← g<sub>i,SAM</sub> − g<sub>i,loss</sub>",
        [(gradients._write, ["torch.sub(grad, other"])],
    ),
    Step(
        "g ← A(g<sub>1,loss</sub>, ..., g<sub>T,loss</sub>) + A(g<sub>1,flat</sub>, ..., g<sub>T,flat</sub>)",
        [(decomposition, ['"decomposed": '])],
    ),
    Step(
        "θ<sub>sh</sub> ← θ<sub>sh</sub> − η g; each head takes its own SAM gradient",
        [
            (optim.FlatMTL._fill, ["filled = ", "filled += ", "p.grad = grad"]),
            (optim.FlatMTL.__call__, ["self.optimizer.step()"]),
        ],
    ),
)


BLOCK = "white-space:pre-wrap; word-break:normal; overflow-wrap:anywhere; background:none; margin:0 0 4px"


class Algorithm:
    """The table: one row per step, the algorithm at the left and the lines of the core at the right.

    Raises:
        ValueError: the core no longer has a line that a step names.
    """

    def __init__(self, steps: Sequence[Step] = STEPS):
        self.rows = [(step.text, step.code) for step in steps]

    def __repr__(self) -> str:
        return "\n".join(
            f"{number} {name}: {line}"
            for number, (_, code) in enumerate(self.rows, 1)
            for name, lines in code
            for line in lines
        )

    def _repr_html_(self) -> str:
        left = "style='text-align:left; vertical-align:top'"
        head = f"<tr><th></th><th {left}>Algorithm 1</th><th {left}>the lines that run</th></tr>"
        rows = []
        for number, (text, code) in enumerate(self.rows, 1):
            blocks = "".join(_block(name, lines) for name, lines in code)
            rows.append(f"<tr><td {left}>{number}</td><td {left}>{text}</td><td {left}>{blocks}</td></tr>")
        return f"<table><thead>{head}</thead><tbody>{''.join(rows)}</tbody></table>"


def algorithm() -> Algorithm:
    """Show Algorithm 1 line by line next to the code, read from the installed source."""
    return Algorithm()


def _block(name: str, lines: Sequence[str]) -> str:
    """Return one line of code as it is, and several lines behind a click, as they are parts of a whole."""
    text = f"<pre style='{BLOCK}'>{escape(chr(10).join(lines))}</pre>"
    if len(lines) == 1:
        return f"<div><small>{escape(name)}</small></div>{text}"
    return f"<details><summary><small>{escape(name)}: {len(lines)} lines</small></summary>{text}</details>"


def _name(home: Callable | ModuleType) -> str:
    module = home if isinstance(home, ModuleType) else sys.modules[home.__module__]
    name = f"{module.__name__.removeprefix('flatmtl_lite.').replace('.', '/')}.py"
    return name if module is home else f"{name}, {home.__qualname__}"


def _lines(home: Callable | ModuleType, starts: Sequence[str]) -> list[str]:
    """Return the lines that begin with these words, with their indentation to each other."""
    source = inspect.getsource(home).splitlines()
    chosen = []
    for start in starts:
        lines = [line for line in source if line.strip().startswith(start)]
        if len(lines) != 1:
            raise ValueError(
                f"Got {len(lines)} lines of {_name(home)} that begin with {start!r}; expected one. "
                "The code has changed: update STEPS in lab/tables/algorithm.py."
            )
        chosen += lines
    return textwrap.dedent("\n".join(chosen)).split("\n")
