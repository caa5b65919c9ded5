"""Command-line options for the settings of an experiment and of the engine."""

import argparse
import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import torch

from ..runs.engine.config import Config
from ..runs.experiments.registry import EXPERIMENTS


def add_experiments(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """Add one sub-command per experiment and yield its parser, with the options that train and plan share."""
    experiments = parser.add_subparsers(required=True, metavar="EXPERIMENT", dest="experiment")
    for name, definition in EXPERIMENTS.items():
        summary = (definition.settings.__doc__ or "").splitlines()[0]
        subparser = experiments.add_parser(name, help=summary, description=summary, allow_abbrev=False)
        presets = definition.presets
        subparser.add_argument("--preset", choices=list(presets), help=_preset_help(presets))
        subparser.add_argument(
            "--device", default="auto", help="auto, cpu, cuda, cuda:1, ... (default: auto)"
        )
        subparser.add_argument(
            "--threads", type=_threads, default=None, help="threads on the CPU (default: torch's)"
        )
        subparser.add_argument(
            "--data", help="folder of the source files (default: FLATMTL_DATA, then the cache)"
        )
        subparser.add_argument("--download", action="store_true", help="fetch source files that are missing")
        settings, no_defaults = definition.settings, dict[str, Any]()
        _add_fields(subparser.add_argument_group(f"options of {settings.__name__}"), settings, no_defaults)
        _add_fields(subparser.add_argument_group("options of Config"), Config, definition.defaults)
        yield subparser


def set_threads(threads: int | None) -> None:
    """Set the number of threads on the CPU; None leaves torch's own number."""
    if threads is not None:
        torch.set_num_threads(threads)


def _add_fields(group: Any, settings: type, defaults: Mapping[str, Any]) -> None:
    """Add an option for every field of a dataclass.

    The options have no default in the parser, so that a preset or the run that goes on can provide the value.
    The help shows the default: from ``defaults``, else from the field.
    """
    for field in dataclasses.fields(settings):
        default = defaults.get(field.name, field.default)
        text = f"{field.metadata['help']} (default: {default})".replace("%", "%%")
        options: dict[str, Any] = {"help": text, "default": argparse.SUPPRESS}
        if field.type is bool:
            options["action"] = argparse.BooleanOptionalAction
        elif field.type in (int, float, str):
            options["type"] = field.type
        elif field.type != (str | None):
            options["nargs"] = "+"
        group.add_argument("--" + field.name.replace("_", "-"), **options)


def _preset_help(presets: Mapping[str, Mapping[str, Any]]) -> str:
    def typed(option: str, value: Any) -> str:
        option = option.replace("_", "-")
        if isinstance(value, bool):
            return option if value else f"no-{option}"
        return f"{option} {value}"

    lists = (
        f"{name}: {', '.join(typed(*pair) for pair in values.items())}" for name, values in presets.items()
    )
    return f"a set of options; an option that is given wins over it. {'. '.join(lists)}"


def _threads(word: str) -> int:
    if not (word.isdecimal() and 1 <= int(word) <= 4096):
        raise argparse.ArgumentTypeError(f"Got {word}; expected a whole number from 1 to 4096.")
    return int(word)
