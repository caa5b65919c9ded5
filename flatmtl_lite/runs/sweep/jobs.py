"""The runs of a grid: their folders and their commands, checked before anything starts."""

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path

from ..engine.config import Config
from ..engine.methods import parse_method
from .job import PROGRAM, Job

__all__ = ["PROGRAM", "Job", "grid"]


_SET_BY_GRID = {"--variant", "--method", "--rho", "--weights", "--seed", "--out", "--resume", "--threads"}
_SET_BY_GRID |= {"--processes"}
_OWN_AXES = {"variant": "--variants", "method": "--methods", "rho": "--rhos", "weights": "--weights"}
_OWN_AXES |= {"seed": "--seeds"}


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
    axes: Mapping[str, Sequence[str]] | None = None,
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
        axes: further options of ``train`` with their values as words, such as
            ``{"lr": ["0.01", "0.05"]}``; every run is made once for each combination.

    Raises:
        ValueError: a method is unknown, a number is out of its range, there are weights that no method
        takes, or an argument is set by the grid itself.

    Example:
        >>> jobs = grid("multimnist", ["mean", "f-cagrad"], ["mnist"], [0.05, 0.1], [0], Path("runs"))
        >>> [job.name for job in jobs]
        ['mnist/mean/seed0', 'mnist/f-cagrad/rho0.05/seed0', 'mnist/f-cagrad/rho0.1/seed0']
    """
    axes = {name.replace("-", "_"): list(map(_plain, values)) for name, values in (axes or {}).items()}
    _check(methods, variants, rhos, seeds, arguments)
    _check_axes(axes, arguments)
    weights = _checked_weights(weights, methods)
    jobs: dict[str, Job] = {}
    only_default: list[None] = [None]
    for seed in seeds:
        for variant in variants or only_default:
            points = product(_methods_and_options(methods, rhos, weights), product(*axes.values()))
            for (method, rho, fixed), values in points:
                others = dict(zip(axes, values, strict=True))
                place, words = _place_and_words(variant, method, rho, fixed, others, seed)
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
    variant: str | None,
    method: str,
    rho: float | None,
    weights: str | None,
    others: Mapping[str, str],
    seed: int,
) -> tuple[list[str], list[str]]:
    """Return the names of a run's folders and the words for ``train``."""
    place = [method, *(f"{name}={value}" for name, value in others.items()), f"seed{seed}"]
    words = ["--method", method, *(word for pair in others.items() for word in _words(*pair))]
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


def _words(option: str, value: str) -> list[str]:
    """Return the words of the command line for an option and its value."""
    flag = option.replace("_", "-")
    if value in ("true", "false"):
        return [f"--{flag}" if value == "true" else f"--no-{flag}"]
    return [f"--{flag}", value]


def _plain(value: str) -> str:
    """Return a value with a number in it written in one way, because it becomes a folder."""
    try:
        return f"{float(value):.10g}" if math.isfinite(float(value)) else value
    except ValueError:
        return value


def _check_axes(axes: Mapping[str, Sequence[str]], arguments: Sequence[str]) -> None:
    given = {word.partition("=")[0] for word in arguments}
    for name, values in axes.items():
        flag = "--" + name.replace("_", "-")
        if name in _OWN_AXES:
            raise ValueError(f"Got --grid {name}=...; expected another option: use {_OWN_AXES[name]}.")
        if flag in _SET_BY_GRID or flag in given:
            raise ValueError(f"Got --grid {name}=... for an option that is set elsewhere; give it once.")
        for value in values:
            if value in ("", "..") or Path(value).name != value:
                raise ValueError(
                    f"Got --grid {name} with the value {value!r}; expected a plain word: it becomes a folder."
                )


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
