"""Presets: each one stands for the same complete settings for ever, so that its results can be repeated."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from flatmtl_lite.perturbation import DEFAULT_NORM, DEFAULT_RHO
from flatmtl_lite.runs import Config
from flatmtl_lite.runs.experiments.registry import EXPERIMENTS, read_options

PRESETS = json.loads(Path(__file__).with_name("presets.json").read_text())


def test_every_preset_is_pinned():
    names = [f"{name}/{preset}" for name, definition in EXPERIMENTS.items() for preset in definition.presets]
    assert list(PRESETS) == names


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_stands_for_the_same_settings_as_ever(name):
    request = read_options(*name.split("/"), {})
    settings = {"settings": asdict(request.settings), "config": asdict(request.config)}
    assert json.loads(json.dumps(settings)) == PRESETS[name]


def test_an_option_wins_over_the_preset_and_the_preset_over_the_default():
    request = read_options("multimnist", "demo", {"rho": 0.3, "n_train": 100})
    assert (request.config.rho, request.config.norm) == (0.3, "together")
    assert (request.settings.n_train, request.settings.network) == (100, "mlp")


@pytest.mark.parametrize("name", ["multimnist", "nyuv2"])
def test_without_a_preset_the_radius_and_the_norm_are_the_core_s(name):
    config = read_options(name, None, {}).config
    assert (config.rho, config.norm) == (DEFAULT_RHO, DEFAULT_NORM)
    assert (Config().rho, Config().norm) == (DEFAULT_RHO, DEFAULT_NORM)


def test_every_option_is_explained_in_the_docstring_and_on_the_command_line():
    assert "\n    rho: radius of the perturbation" in Config.__doc__
    assert "\n    label_noise: share of the items" in EXPERIMENTS["multimnist"].settings.__doc__
