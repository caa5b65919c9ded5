"""The chance instrument shows the angles of random vectors."""

import pytest

from flatmtl_lite import lab
from tests.lab.traces import drawn


def test_the_chance_instrument_follows_the_root():
    stage = lab.chance_instrument(1000)
    shown = drawn(stage)
    assert shown["spread-here"][0].tolist() == pytest.approx([1000, 1000**-0.5])
    assert "1,000 parameters" in stage.state
    assert shown["density"][:, 1].max() == pytest.approx(1)
