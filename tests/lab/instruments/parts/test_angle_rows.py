"""Rows of angles."""

import torch

from flatmtl_lite.lab.instruments.parts.angle_rows import AngleRows
from tests.lab.instruments.parts.pictures import drawn, resting


def test_each_pair_and_each_task_has_its_row():
    rows = AngleRows(["a", "b", "c"])
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
    angles = dict(
        loss=torch.tensor([[80.0, 90, 100]]), flat=torch.rand(4, 3) * 180, intra=torch.rand(4, 3) * 180
    )
    points = rows.at({uid: degrees.double() for uid, degrees in angles.items()})
    for uid, first in (("loss", 0), ("flat", 0), ("intra", 3)):
        assert torch.equal(points[uid][..., 0], angles[uid].double())
        assert points[uid][0, :, 1].round().tolist() == [first, first + 1, first + 2]
        feet = points[f"{uid}-stems"].reshape(-1, 3, 3, 2)[:, :, 0]
        assert feet[..., 0].eq(90).all()
    assert points["angle-names"].shape == (4, 3, 2)
