"""Angles as numbers, in words, on the dial and in rows."""

import pytest
import torch

from flatmtl_lite.decomposition import Decomposition
from flatmtl_lite.lab.instruments.parts.angles import (
    AngleRows,
    Dial,
    conflict_texts,
    degrees_texts,
    part_angles,
)
from tests.lab.instruments.parts.pictures import drawn, moving, resting

LOOKS = {"one": ("loss parts", dict(color="#000000")), "two": ("task 1", dict(color="#0072B2", dash="dot"))}


def test_a_needle_points_at_its_angle():
    degrees = {"one": torch.tensor([0.0, 60, 180]), "two": torch.tensor([90.0])}
    dial = Dial("angles", LOOKS, {uid: angle.double() for uid, angle in degrees.items()})
    traces, points = drawn(dial), moving(dial)
    assert list(traces["one-names"].text) == ["<b>loss parts</b>", "<b>task 1</b>"]
    assert points["one"][:, 1].flatten().tolist() == pytest.approx([1, 0, 0.5, 0.75**0.5, -1, 0], abs=1e-9)
    assert points["two"][:, 1].flatten().tolist() == pytest.approx([0, 1], abs=1e-9)
    assert (points["one"][:, 0] == 0).all()
    assert points["one-names"].shape == (3, 2, 2)


def test_an_angle_that_is_not_there_has_no_needle():
    points = moving(Dial("angles", LOOKS, {"one": torch.tensor([torch.nan]), "two": torch.tensor([30.0])}))
    assert points["one"][0, 1].isnan().all()
    assert points["one-names"][0, 0].isnan().all()


def test_the_left_half_means_conflict():
    area, _, marks = resting(Dial("angles", LOOKS, dict.fromkeys(LOOKS, torch.zeros(1))))
    assert max(area.x) == pytest.approx(0, abs=1e-6)
    assert dict(zip(marks.text, marks.x, strict=True))["conflict"] < 0
    assert {"0°", "90°", "180°"} < set(marks.text)


def test_each_pair_and_each_task_has_its_row():
    angles = dict(
        loss=torch.tensor([[80.0, 90, 100]]), flat=torch.rand(4, 3) * 180, intra=torch.rand(4, 3) * 180
    )
    rows = AngleRows(["a", "b", "c"], {uid: degrees.double() for uid, degrees in angles.items()})
    assert rows.y["ticktext"] == ["a, b", "a, c", "b, c", "within a", "within b", "within c"]
    assert rows.before > 60  # room for the names of the rows
    (conflict,) = resting(rows)
    assert (min(conflict.x), max(conflict.x)) == (90, 180)
    traces = drawn(rows)
    assert list(traces["angle-names"].text) == [
        "<b>loss parts</b>",
        "<b>flat parts</b>",
        "<b>loss to flat</b>",
    ]
    points = moving(rows)
    for uid, first in (("loss", 0), ("flat", 0), ("intra", 3)):
        assert torch.equal(points[uid][..., 0], angles[uid].double())
        assert points[uid][0, :, 1].round().tolist() == [first, first + 1, first + 2]
        feet = points[f"{uid}-stems"].reshape(-1, 3, 3, 2)[:, :, 0]
        assert feet[..., 0].eq(90).all()
    assert points["angle-names"].shape == (4, 3, 2)


def test_angles_are_written_in_words():
    angles = torch.tensor([12.4, torch.nan, 135.0])
    assert degrees_texts(angles) == ["12°", "–", "135°"]
    assert conflict_texts(angles) == ["", "", " (conflict)"]


def test_the_angle_between_tasks_is_the_largest():
    loss = torch.tensor([[[1.0, 0.0], [1.0, 1.0], [-1.0, 0.0]]]).double()
    degrees = part_angles(Decomposition(loss, torch.zeros_like(loss)))
    assert degrees["between-loss"].tolist() == pytest.approx([180])
    assert degrees["between-flat"].isnan().all()
