"""What a configuration and the settings of an experiment refuse, before anything is loaded or made."""

import pytest

from flatmtl_lite.runs.engine.config import Config
from flatmtl_lite.runs.experiments.multimnist import MultiMnist
from flatmtl_lite.runs.experiments.nyuv2 import NyuV2
from flatmtl_lite.runs.experiments.registry import EXPERIMENTS, read_options
from flatmtl_lite.runs.experiments.rooms import Rooms


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"epochs": 1.5}, "Got epochs=1.5; expected a whole number."),
        ({"epochs": "2"}, "Got epochs='2'; expected a whole number."),
        ({"epochs": True}, "Got epochs=True; expected a whole number."),
        ({"lr": "0.1"}, "Got lr='0.1'; expected a number."),
        ({"lr": False}, "Got lr=False; expected a number."),
        ({"adaptive": 1}, "Got adaptive=1; expected True or False."),
        ({"method": None}, "Got method=None; expected a string."),
        ({"seed": 2**63}, "expected less than 2**63"),
        ({"seed": 10**400}, "expected less than 2**63"),
        ({"seed": -1}, "Got seed=-1; expected a finite number >= 0."),
    ],
)
def test_a_configuration_of_other_types_or_out_of_range_is_refused(given, message):
    with pytest.raises(ValueError) as caught:
        Config(**given)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "given", "message"),
    [
        (MultiMnist, {"n_train": 96.0}, "Got n_train=96.0; expected a whole number."),
        (MultiMnist, {"n_val": True}, "Got n_val=True; expected a whole number."),
        (MultiMnist, {"sample": "yes"}, "Got sample='yes'; expected True or False."),
        (MultiMnist, {"published": 3}, "Got published=3; expected a string or None."),
        (MultiMnist, {"tasks": "digit"}, "Got tasks='digit'; expected two to eight of digit, parity,"),
        (MultiMnist, {"tasks": ["digit"]}, "Got tasks=['digit']; expected two to eight"),
        (MultiMnist, {"tasks": ["digit"] * 9}, "expected two to eight"),
        (MultiMnist, {"tasks": ["digit", "garmet"]}, "Got task 'garmet' (did you mean 'garment'?)"),
        (Rooms, {"height": "48"}, "Got height='48'; expected a whole number."),
        (NyuV2, {"augment": 0}, "Got augment=0; expected True or False."),
    ],
)
def test_settings_of_other_types_or_names_are_refused(settings, given, message):
    with pytest.raises(ValueError) as caught:
        settings(**given)
    assert message in str(caught.value)


def test_what_is_meant_is_taken():
    assert Config(lr=1, seed=2**63 - 1).lr == 1
    assert MultiMnist(tasks=["digit", "garment", "parity"]).tasks == ("digit", "garment", "parity")


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_experiments_measure_seldom(name):
    for preset in EXPERIMENTS[name].presets:
        config = read_options(name, preset, {}).config
        assert config.measure_every == (4 if name == "rooms" else 50)  # rooms: eight steps an epoch
    assert Config().measure_every == 4
