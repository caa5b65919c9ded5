"""Paths, climbs, and curves over a path."""

import torch

from flatmtl_lite.lab.figures.style import RULES
from flatmtl_lite.lab.instruments.parts.curve import Along
from flatmtl_lite.lab.instruments.parts.panel import Panel
from flatmtl_lite.lab.instruments.parts.path import draw_climb, draw_looks, draw_paths, draw_trail
from tests.lab.instruments.parts.pictures import drawn, moving


def test_each_path_has_its_marker_and_its_name_at_its_end():
    panel = Panel(x=dict(range=[0, 9]), y=dict(range=[0, 9]))
    looks = {rule: RULES[rule] for rule in ("erm", "direct")}
    erm = torch.tensor([[[1.0, 1], [2, 2]]]).double()
    direct = torch.tensor([[[1.0, 1], [8, 8]], [[1, 1], [8, 3]], [[1, 1], [3, 8]]]).double()
    draw_paths(panel, looks, {"erm": erm, "direct": direct})
    traces, points = drawn(panel), moving(panel)
    assert torch.equal(points["path-erm"], erm)
    assert torch.equal(points["end"], torch.stack([erm[:, -1].expand(3, 2), direct[:, -1]], 1))
    assert traces["end"].marker.color == tuple(look["color"] for look in looks.values())
    assert traces["labels"].text == ("<b>direct</b>", "<b>erm</b>")
    away = (points["labels"][:, :, None] - points["end"].flip(1)[:, None]).norm(dim=-1)
    assert (away.argmin(-1) == torch.arange(2)).all()


def test_a_look_beyond_the_panel_ends_in_an_arrowhead_at_its_edge():
    panel = Panel(x=dict(range=[0, 9]), y=dict(range=[0, 9]))
    theta = torch.tensor([1.0, 5.0]).double()
    look = torch.tensor([[3.0, 5], [-3.0, 1], [1.0, 5.0]]).double()  # within, beyond the left edge, at θ
    draw_looks(panel, theta, {"one": ("#000000", look)})
    traces, points = drawn(panel), moving(panel)
    assert (traces["one"].marker.symbol, traces["one"].marker.size) == ("star", (0, 0, 15))
    assert (traces["beyond"].marker.symbol, traces["beyond"].marker.angleref) == ("arrow", "previous")
    nan = [torch.nan] * 2
    ends = torch.tensor([[[3.0, 5], [3, 5]], [[0, 4], nan], [[1, 5], [1, 5]]]).double()
    assert torch.allclose(points["one"][:, 1:], ends, equal_nan=True)
    assert points["one"][:, 0].eq(theta).all()
    assert points["beyond"].isnan().all((-2, -1)).tolist() == [True, False, True]
    assert torch.allclose(points["beyond"][1], torch.stack([theta, ends[1, 0]]))


def test_the_curve_says_its_highest_value():
    axes, x = (dict(range=[0, 2]), dict(range=[0, 180])), torch.tensor([0.0, 1.0, 2.0])
    nan = float("nan")
    heights = torch.tensor([[nan, 40.0, 20.0], [nan, nan, nan], [0.0, 0.0, 0.0]])
    points = moving(Along("way", "angle", *axes, dict(color="#000000"), x, heights))
    assert points["way"].shape == (3, 3, 2)
    places, words = points["way-most"]
    assert places[0].tolist() == [[1, 40]]
    assert places[1, 0, 1].isnan()
    assert words == [["40°"], [""], [""]]


def test_the_trail_ends_at_the_marker():
    panel = Panel(x=dict(range=[0, 9]), y=dict(range=[0, 9]))
    way = torch.arange(8.0).reshape(4, 2)
    draw_trail(panel, "here", way)
    points = moving(panel)
    for k in range(4):
        assert points["here"][k].tolist() == [way[k].tolist()]
        for uid in ("here-trail", "here-trail-edge"):
            assert torch.equal(points[uid][k, : k + 1], way[: k + 1])
            assert points[uid][k, k + 1 :].isnan().all()


def test_it_draws_the_visits_and_the_highest_of_them():
    panel = Panel(x=dict(range=[0, 1]), y=dict(range=[0, 1]))
    visited = torch.rand(3, 11, 2)
    draw_climb(panel, "ten", "#009E73", visited, visited[:, 4])
    traces, points = drawn(panel), moving(panel)
    assert traces["ten"].mode == "lines+markers"
    assert traces["ten-at"].marker.symbol == "diamond"
    assert torch.equal(points["ten"], visited)
    assert torch.equal(points["ten-at"], visited[:, 4:5])
