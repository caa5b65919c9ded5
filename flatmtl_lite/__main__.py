"""The command line: ``python -m flatmtl_lite train rooms ...``, ``plan``, ``sweep``, ``report`` and more."""

import argparse
import dataclasses
import re
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from .runs import rooms
from .runs.engine.config import Config
from .runs.engine.folder import InUse, RunError, RunFolder
from .runs.experiments.registry import EXPERIMENTS, read_options
from .runs.launch import Stopped, as_begun, launch
from .runs.paper.multimnist import published_row
from .runs.plan import plan
from .runs.report import tables as report
from .runs.sweep import command as sweep
from .runs.sweep.local import IN_USE


def main(words: Sequence[str] | None = None) -> int:
    """Run one command; what went wrong is said in one sentence.

    Returns:
        The exit code: 0; 1 for an error that is explained; 2 for arguments that do not fit; 3 for a folder
        that another process has; 128 and the number of the signal, so 130 for Ctrl-C, for a run that was
        stopped and can go on.
    """
    parser = _parser()
    given, rest = parser.parse_known_args(words)
    given = vars(given)
    command = given.pop("command")
    if command is _sweep:
        given["rest"] = rest
    elif rest:
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    if threads := given.pop("threads", None):
        torch.set_num_threads(threads)
    try:
        return command(**given)
    except Stopped as stopped:
        print(stopped, file=sys.stderr)
        return 128 + stopped.signal
    except KeyboardInterrupt:
        begun = command is _train and RunFolder(given["out"]).is_begun
        left = " at once; the last checkpoint stays. Go on with --resume" if begun else ""
        print(f"Stopped{left}.", file=sys.stderr)
        return 128 + signal.SIGINT
    except InUse as error:
        print(f"error: {error}", file=sys.stderr)
        return IN_USE
    except (RunError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def _train(**given) -> int:
    run = launch(**given)
    if run.entries("evaluation"):
        score = run.entries("evaluation")[-1]["score"]
        print(f"finished: test {score['test']:.2f} at the last epoch. {given['out']} holds the result.")
    return 0


def _plan(**given) -> int:
    print(plan(**given))
    return 0


def _sweep(rest: Sequence[str], **given) -> int:
    def check(words: Sequence[str]) -> None:
        options = vars(_parser().parse_args(words))
        kind = EXPERIMENTS[options["experiment"]]
        fields = {f.name for of in (kind.settings, Config) for f in dataclasses.fields(of)}
        given = {name: value for name, value in options.items() if name in fields}
        settings, common = read_options(options["experiment"], options["preset"], given)
        kind.settings(**settings)
        kind.config(**common)
        folder = RunFolder(options["out"])
        if folder.is_begun:
            try:
                as_begun(folder.known(), options["experiment"], settings, common)
            except RunError as error:
                raise ValueError(f"{folder.path}: {error}") from error

    return sweep.main(argparse.Namespace(**given), rest, check)


def _rooms(**given) -> int:
    rooms.main(argparse.Namespace(**given))
    return 0


def _report(**given) -> int:
    try:
        from .lab.publish.report_page import method_title, write_report_page
    except ModuleNotFoundError as error:
        print(f"No plots, {error.name} is missing: pip install 'flatmtl-lite[lab]'.", file=sys.stderr)
        return report.main(argparse.Namespace(**given))

    def draw(runs: list[dict], text: str, folder: Path) -> None:
        paper = {}
        for result in (run["result"] for run in runs):
            method, settings = result["config"]["method"], result["settings"]
            found = published_row(result["experiment"], settings, method)
            if found and all(found.tasks):
                accuracy = [figure.mean for figure in found.tasks]
                paper.setdefault(settings["variant"], {})[method_title(method)] = accuracy
        write_report_page(runs, text, folder, paper)

    return report.main(argparse.Namespace(**given), draw)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m flatmtl_lite", description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    train = commands.add_parser("train", help="train one network, resumable at any moment")
    for kind, one in _each_experiment(train):
        one.set_defaults(command=_train, experiment=kind)
        one.add_argument("--out", required=True, help="the folder of the run")
        one.add_argument("--resume", action="store_true", help="go on with the run in that folder")
        one.add_argument(
            "--checkpoint-seconds",
            type=_seconds,
            default=60.0,
            help="seconds between checkpoints (default: 60)",
        )
    planned = commands.add_parser("plan", help="time and memory of a run, from a few measured steps")
    for kind, one in _each_experiment(planned):
        one.set_defaults(command=_plan, experiment=kind)
    grid = commands.add_parser(
        "sweep",
        help="a grid of runs, here or on a Slurm cluster; finished ones are not repeated",
        epilog="Every other option, such as --preset or --epochs, is handed on to train.",
        allow_abbrev=False,
    )
    sweep.add_arguments(grid, list(EXPERIMENTS))
    grid.set_defaults(command=_sweep)
    drawn = commands.add_parser("rooms", help="draw synthetic rooms into a folder, or complete one")
    rooms.add_arguments(drawn)
    drawn.set_defaults(command=_rooms)
    table = commands.add_parser("report", help="table and plots of all runs below a folder")
    report.add_arguments(table)
    table.set_defaults(command=_report)
    return parser


def _each_experiment(parser: argparse.ArgumentParser):
    """A parser for every experiment, with the options that train and plan share."""
    kinds = parser.add_subparsers(required=True, metavar="EXPERIMENT")
    for name, kind in EXPERIMENTS.items():
        one = kinds.add_parser(name, help=kind.settings.__doc__.splitlines()[0], allow_abbrev=False)
        one.add_argument("--preset", choices=list(kind.presets), help=_words_on(kind.presets))
        one.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, ... (default: auto)")
        one.add_argument("--threads", type=_threads, help="threads on the CPU (default: torch's)")
        one.add_argument("--data", help="folder of the source files (default: FLATMTL_DATA, then the cache)")
        one.add_argument("--download", action="store_true", help="fetch source files that are missing")
        for settings, own in ((kind.settings, {}), (Config, kind.defaults)):
            _add_fields(one.add_argument_group(f"options of {settings.__name__}"), settings, own)
        yield name, one


def _words_on(presets: dict[str, dict]) -> str:
    def typed(option: str, value) -> str:
        option = option.replace("_", "-")
        if isinstance(value, bool):
            return option if value else f"no-{option}"
        return f"{option} {value}"

    sets = (f"{name}: {', '.join(typed(*pair) for pair in one.items())}" for name, one in presets.items())
    return f"a set of options, beside which those given win. {'. '.join(sets)}"


def _threads(word: str) -> int:
    if not (word.isdecimal() and 1 <= int(word) <= 4096):
        raise argparse.ArgumentTypeError(f"Got {word}; expected a whole number from 1 to 4096.")
    return int(word)


def _seconds(word: str) -> float:
    seconds = float(word)
    if not seconds >= 0:
        raise argparse.ArgumentTypeError(f"Got {word}; expected a number >= 0.")
    return seconds


def _add_fields(parser, settings: type, defaults: dict) -> None:
    """An option for every field of a dataclass, explained as in its docstring; without default, so that
    what is not given can come from a preset or from the run that goes on; ``defaults`` are only named."""
    explained = dict(re.findall(r"^ {8}(\w+): (.*?)(?=\n {8}\w|\n\n|\Z)", settings.__doc__, re.S | re.M))
    for field in dataclasses.fields(settings):
        words = " ".join(explained[field.name].split())
        default = defaults.get(field.name, field.default)
        options = {"help": f"{words} (default: {default})".replace("%", "%%")}
        if field.type is bool:
            options["action"] = argparse.BooleanOptionalAction
        elif field.type in (int, float, str):
            options["type"] = field.type
        elif field.type != (str | None):
            options["nargs"] = "+"
        name = "--" + field.name.replace("_", "-")
        parser.add_argument(name, default=argparse.SUPPRESS, **options)


if __name__ == "__main__":
    sys.exit(main())
