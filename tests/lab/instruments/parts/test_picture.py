"""The places of the panels."""

import pytest
import torch

from flatmtl_lite.lab.instruments.parts.panel import Panel
from flatmtl_lite.lab.instruments.parts.picture import MORE, Picture

AXES = dict(x=dict(range=[0, 1]), y=dict(range=[0, 1]))


def panels(n: int) -> list[Panel]:
    return [Panel(str(k), **AXES) for k in range(n)]


def shown(picture: Picture, k: int) -> list[bool]:
    """For each panel: does it lie above the fold of the k-th arrangement?"""
    arrangement = picture.arrangements[k]
    layout, lowest = arrangement["layout"], 1 - arrangement["fold"] / arrangement["layout"]["height"]
    axes = [f"yaxis{panel.number}" for panel in picture.panels]
    return [layout[axis]["domain"][0] > lowest - 1e-9 for axis in axes]


def test_a_small_window_keeps_two_panels_beside_the_large_one():
    main, *side = panels(4)
    picture = Picture(main, [[panel] for panel in side])
    assert shown(picture, 0) == [True] * 4
    assert shown(picture, 1) == [True, True, True, False]
    assert picture.arrangements[1]["layout"]["height"] > picture.arrangements[1]["fold"] + MORE


def test_a_panel_that_keeps_its_shape_leaves_width_to_its_neighbour():
    square, wide = Panel(**AXES, ratio=1), Panel(**AXES)
    Picture(None, [[square, wide], panels(1)])
    for (across, up), (rest, _) in zip(square.sizes, wide.sizes, strict=True):
        assert across == pytest.approx(up)
        assert rest > 2 * across


def test_a_logarithmic_axis_counts_in_powers_of_ten():
    panel = Panel(x=dict(range=[0, 2]), y=dict(type="log", range=[-3, 1]))
    Picture(panel, [panels(1)])
    points = torch.tensor([[1.0, 0.001], [2.0, 10.0]], dtype=torch.float64)
    assert panel.paper(points).flatten().tolist() == pytest.approx([1, -3, 2, 1])
    assert torch.allclose(panel.data(panel.paper(points)), points)


def test_room_for_names_narrows_the_plot():
    plain, named = Panel(**AXES), Panel(**AXES)
    named.before, named.after = 150, 80
    cell = (0, 0, 500, 300)
    left, _, width, _ = named.plot_area(cell)
    assert left == 150
    assert left + width == 420
    assert plain.plot_area(cell)[2] > width
