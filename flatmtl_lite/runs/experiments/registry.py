"""The table of experiments, and how options become the settings and the configuration of a run."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from ...names import check_name
from ..engine.config import FREE_OPTIONS, Config
from ..engine.folder import RunError
from .definition import Definition, Settings
from .multimnist import MULTIMNIST
from .nyuv2 import NYUV2
from .rooms import ROOMS

EXPERIMENTS: dict[str, Definition] = {"multimnist": MULTIMNIST, "rooms": ROOMS, "nyuv2": NYUV2}


@dataclass(frozen=True)
class Request:
    """A run as it was asked for: every option has a value and is checked.

    Attributes:
        experiment: name in ``EXPERIMENTS``.
        settings: the settings of the experiment.
        config: the configuration of the engine.
        options: the options that were given, by hand or by a preset.
    """

    experiment: str
    settings: Settings
    config: Config
    options: Mapping[str, Any]


def read_options(experiment: str, preset: str | None, options: Mapping[str, Any]) -> Request:
    """Sort options into settings and configuration, and check them.

    Args:
        experiment: name in ``EXPERIMENTS``.
        preset: name of a preset; the given options win over it.
        options: values of the experiment's settings and of :class:`Config`.

    Raises:
        ValueError: the experiment, the preset or an option is unknown, or a value is out of its range.
    """
    check_name("experiment", experiment, EXPERIMENTS)
    definition = EXPERIMENTS[experiment]
    if preset is not None:
        check_name("preset", preset, definition.presets)
        options = {**definition.presets[preset], **options}
    names = option_names(definition)
    for name in options:
        check_name("option", name, names)
    settings, config = _sorted(definition, options)
    return Request(experiment, definition.settings(**settings), definition.config(**config), options)


def option_names(definition: Definition) -> list[str]:
    """Return the names of all options of an experiment, in alphabetical order."""
    return sorted({f.name for options in (definition.settings, Config) for f in fields(options)})


def described_request(description: Mapping[str, Any]) -> Request:
    """Return the request that a run began with, from the content of its ``run.json``.

    Raises:
        RunError: the run was written by a version with other options.
    """
    name, options = description["experiment"], description["settings"] | description["config"]
    definition = EXPERIMENTS.get(name)
    if definition is None:
        unknown = {f"experiment {name!r}"}
    else:
        parts = (("settings", definition.settings), ("config", Config))
        unknown = {
            key for part, kind in parts for key in description[part].keys() - {f.name for f in fields(kind)}
        }
    if definition is None or unknown:
        raise RunError(
            f"The folder holds a run of another version: {', '.join(sorted(unknown))} is unknown here. Go on "
            "with that version, or give another folder."
        )
    try:
        settings = definition.settings(**description["settings"])
        config = definition.config(**description["config"])
    except ValueError as error:
        raise RunError(f"The run.json of the folder cannot be used: {error} Restore it.") from error
    return Request(name, settings, config, options)


def saved_request(description: Mapping[str, Any], request: Request) -> Request:
    """Return the request that a run in a folder began with.

    Args:
        description: content of the folder's ``run.json``.
        request: the request of now; the options that were given must be the run's.

    Raises:
        RunError: an option differs, or the run was written by a version with other options.
    """
    free = {option: value for option, value in request.options.items() if option in FREE_OPTIONS}
    saved = described_request({**description, "config": description["config"] | free})
    there = _as_json({"experiment": saved.experiment} | asdict(saved.settings) | asdict(saved.config))
    here = _as_json({"experiment": request.experiment} | dict(request.options))
    if differences := [
        f"{option} is {there.get(option)!r} there and {value!r} here"
        for option, value in here.items()
        if value != there.get(option)
    ]:
        raise RunError(
            f"The folder holds another run: {'; '.join(differences)}. Go on with that run by giving --resume "
            "without these options, or give another folder."
        )
    return saved


def _sorted(definition: Definition, options: Mapping[str, Any]) -> tuple[dict, dict]:
    common = {f.name for f in fields(Config)}
    config = {name: value for name, value in options.items() if name in common}
    return {name: value for name, value in options.items() if name not in common}, config


def _as_json(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values as they come back from a JSON file: a tuple becomes a list."""
    return json.loads(json.dumps(values))
