"""Shares of a whole, as bars and in words."""

import pytest
import torch

from flatmtl_lite.lab.instruments.parts.shares import Shares
from tests.lab.instruments.parts.pictures import drawn


def test_bars_are_shares_and_words_say_the_values():
    shares = Shares("terms", "terms", ["large", "small"])
    assert drawn(shares)["terms"].mode == "lines"
    points = shares.at(torch.tensor([[30.0, 10.0], [49999.0, 1.0]], dtype=torch.float64))
    bars = points["terms"].reshape(2, 2, 3, 2)
    assert bars[:, :, 0, 0].eq(0).all()
    assert bars[:, :, 1, 0].flatten().tolist() == pytest.approx([0.75, 0.25, 0.99998, 0.00002])
    places, words = points["terms-names"]
    assert words[0] == ["large: 30, 75 %", "small: 10, 25 %"]
    assert words[1] == ["large: 49,999, 99.998 %", "small: 1, under 0.01 %"]
    assert len(places) == 2  # a trace whose texts change must move
    assert (places[..., 1] < bars[:, :, 0, 1]).all()  # above the bar: the axis points down
