"""The runs of a grid: their folders and their commands, checked before anything starts."""

import math
import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ..engine.config import Config
from ..engine.folder import RunError, RunFolder
from ..engine.methods import parse_method

PROGRAM = (sys.executable, "-m", "flatmtl_lite")
_SET_BY_GRID = ("--variant", "--method", "--rho", "--weights", "--seed", "--out", "--resume", "--threads")


@dataclass(frozen=True)
class Job:
    """One run of a grid.

    Attributes:
        name: place of the run in the grid, such as "fashion+mnist/f-cagrad/rho0.05/seed0".
        folder: folder of the run.
        words: the arguments of the command line, from "train" on.
        program: the program that takes the arguments.
    """

    name: str
    folder: Path
    words: tuple[str, ...]
    program: tuple[str, ...] = PROGRAM

    @property
    def is_finished(self) -> bool:
        """Whether the result is there; a finished run is never repeated."""
        return RunFolder(self.folder).is_finished

    @property
    def is_begun(self) -> bool:
        """Whether there is a checkpoint to go on from, or a result."""
        return RunFolder(self.folder).is_begun

    def start(self, threads: int) -> subprocess.Popen:
        """Start the run, or go on with it; its output is appended to ``output.txt`` in its folder.

        Args:
            threads: number of threads of a new run. A run that goes on keeps its number of threads, because
                another number would give other bits.
        """
        command = [*self.program, *self.words, "--threads", str(self._saved_threads() or threads)]
        self.folder.mkdir(parents=True, exist_ok=True)
        with self._output.open("a", encoding="utf-8") as output:
            print("$", shlex.join(command), file=output, flush=True)
            # In a session of its own: Ctrl-C in the terminal must reach the run once, through the sweep.
            return subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
            )

    def last_words(self, lines: int = 5) -> str:
        """Return the end of the output."""
        text = self._output.read_text(encoding="utf-8", errors="replace")
        return "\n".join(line for line in text.splitlines()[-lines:] if line.strip())

    def _saved_threads(self) -> int | None:
        with suppress(RunError):  # a damaged run.json: the run itself reports it
            description = RunFolder(self.folder).description()
            threads = description.get("threads") if description else None
            return threads if isinstance(threads, int) else None
        return None

    @property
    def _output(self) -> Path:
        return self.folder / "output.txt"


def grid(
    experiment: str,
    methods: Sequence[str],
    variants: Sequence[str],
    rhos: Sequence[float],
    seeds: Sequence[int],
    out: Path,
    arguments: Sequence[str] = (),
    program: tuple[str, ...] = PROGRAM,
    weights: Sequence[str] = (),
) -> list[Job]:
    """Return the runs of a grid, all methods of the first seed before the second seed; nothing is started.

    Args:
        experiment: name of the experiment, as ``train`` takes it.
        methods: names for :func:`~flatmtl_lite.runs.engine.methods.parse_method`; a method that does not
            perturb runs once per seed, whatever the radii.
        variants: variants of the experiment; empty if it has none.
        rhos: radii; empty: the radius of the experiment.
        seeds: at least one.
        out: the folder above all run folders.
        arguments: further words for ``train``, the same for every run.
        program: the program that takes the words.
        weights: fixed weights of the tasks, such as "0.7,0.3". A method of the aggregator constant runs once
            for each of them, the others as if there were none. Empty: equal weights.

    Raises:
        ValueError: a method is unknown, a number is out of its range, there are weights that no method
        takes, or an argument is set by the grid itself.

    Example:
        >>> jobs = grid("multimnist", ["mean", "f-cagrad"], ["mnist"], [0.05, 0.1], [0], Path("runs"))
        >>> [job.name for job in jobs]
        ['mnist/mean/seed0', 'mnist/f-cagrad/rho0.05/seed0', 'mnist/f-cagrad/rho0.1/seed0']
    """
    _check(methods, variants, rhos, seeds, arguments)
    weights = _checked_weights(weights, methods)
    jobs: dict[str, Job] = {}
    only_default: list[None] = [None]
    for seed in seeds:
        for variant in variants or only_default:
            for method, rho, fixed in _methods_and_options(methods, rhos, weights):
                place, words = _place_and_words(variant, method, rho, fixed, seed)
                name = "/".join(place)
                folder = Path(out).absolute() / name
                words += ["--out", str(folder), "--resume", *arguments]
                jobs[name] = Job(name, folder, ("train", experiment, *words), program)
    return list(jobs.values())


def _methods_and_options(
    methods: Sequence[str], rhos: Sequence[float], weights: Sequence[str]
) -> Iterator[tuple[str, float | None, str | None]]:
    """Yield each method with each radius and each choice of fixed weights, or None where it takes none."""
    only_default: list[None] = [None]
    for method in methods:
        for fixed in (weights if _takes_weights(method) else ()) or only_default:
            for rho in (rhos if parse_method(method).uses_rho else ()) or only_default:
                yield method, rho, fixed


def _place_and_words(
    variant: str | None, method: str, rho: float | None, weights: str | None, seed: int
) -> tuple[list[str], list[str]]:
    """Return the names of a run's folders and the words for ``train``."""
    place, words = [method, f"seed{seed}"], ["--method", method]
    if rho is not None:
        place.insert(1, f"rho{rho:.10g}")
        words += ["--rho", f"{rho:.10g}"]
    if weights is not None:
        place.insert(1, f"weights{weights}")
        words += ["--weights", weights]
    if variant is not None:
        place.insert(0, variant)
        words += ["--variant", variant]
    return place, [*words, "--seed", str(seed)]


def _check(
    methods: Sequence[str],
    variants: Sequence[str],
    rhos: Sequence[float],
    seeds: Sequence[int],
    arguments: Sequence[str],
) -> None:
    required: list[tuple[str, Sequence]] = [("methods", methods), ("seeds", seeds)]
    for name, values in required:
        if not values:
            raise ValueError(f"Got no {name}; expected at least one. Name them after --{name}.")
    for method in methods:
        parse_method(method)
    for variant in variants:
        if variant in ("", "..") or Path(variant).name != variant:
            raise ValueError(f"Got variant {variant!r}; expected a plain name: it becomes a folder.")
    for rho in rhos:
        if not (math.isfinite(rho) and rho >= 0):
            raise ValueError(f"Got rho={rho}; expected a finite number >= 0.")
    for seed in seeds:
        if seed < 0:
            raise ValueError(f"Got seed={seed}; expected a whole number >= 0.")
    for word in arguments:
        if word.partition("=")[0] in _SET_BY_GRID:
            raise ValueError(f"Got {word} among the arguments of every run; the sweep sets it: leave it out.")


def _takes_weights(method: str) -> bool:
    return parse_method(method).aggregator == "constant"


def _checked_weights(weights: Sequence[str], methods: Sequence[str]) -> list[str]:
    """Return the fixed weights, each number written in one way, because they become folders."""
    if weights and not any(map(_takes_weights, methods)):
        raise ValueError(
            f"Got weights {', '.join(weights)} for the methods {', '.join(methods)}; expected constant or "
            "f-constant among them. The other methods have no fixed weights."
        )
    numbers = [Config(method="constant", weights=text).task_weights for text in weights]
    if [] in numbers:
        raise ValueError('Got weights=""; expected one number per task, such as "0.7,0.3".')
    return [",".join(f"{number:.10g}" for number in one) for one in numbers]
