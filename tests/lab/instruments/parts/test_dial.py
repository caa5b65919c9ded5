"""The dial shows angles."""

import pytest
import torch

from flatmtl_lite.lab.instruments.parts.dial import Dial
from tests.lab.instruments.parts.pictures import drawn, resting

LOOKS = {"one": ("loss parts", dict(color="#000000")), "two": ("task 1", dict(color="#0072B2", dash="dot"))}


def test_a_needle_points_at_its_angle():
    dial = Dial("angles", LOOKS)
    traces = drawn(dial)
    assert list(traces["one-names"].text) == ["<b>loss parts</b>", "<b>task 1</b>"]
    degrees = {"one": torch.tensor([0.0, 60, 180]), "two": torch.tensor([90.0])}
    points = dial.at({uid: angle.double() for uid, angle in degrees.items()})
    assert points["one"][:, 1].flatten().tolist() == pytest.approx([1, 0, 0.5, 0.75**0.5, -1, 0], abs=1e-9)
    assert points["two"][:, 1].flatten().tolist() == pytest.approx([0, 1], abs=1e-9)
    assert (points["one"][:, 0] == 0).all()
    assert points["one-names"].shape == (3, 2, 2)


def test_an_angle_that_is_not_there_has_no_needle():
    dial = Dial("angles", LOOKS)
    drawn(dial)
    points = dial.at({"one": torch.tensor([torch.nan]), "two": torch.tensor([30.0])})
    assert points["one"][0, 1].isnan().all()
    assert points["one-names"][0, 0].isnan().all()


def test_the_left_half_means_conflict():
    area, _, marks = resting(Dial("angles", LOOKS))
    assert max(area.x) == pytest.approx(0, abs=1e-6)
    assert dict(zip(marks.text, marks.x, strict=True))["conflict"] < 0
    assert {"0°", "90°", "180°"} < set(marks.text)
