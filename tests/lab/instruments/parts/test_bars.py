"""Bars: weights, the cosine with the worst task, and shares of a whole."""

import pytest
import torch

from flatmtl_lite.lab.instruments.parts.bars import Shares, Weights, Worst
from flatmtl_lite.lab.instruments.parts.panel import WIDTH, Panel
from flatmtl_lite.lab.instruments.parts.picture import GAP, Picture
from flatmtl_lite.lab.instruments.parts.weighing import METHODS
from tests.lab.instruments.parts.pictures import drawn, moving

N = len(METHODS)
ZEROS = torch.zeros(N, 3, 2, dtype=torch.float64)


def test_a_bar_goes_from_0_to_the_weight():
    weights = torch.rand(N, 5, 3, dtype=torch.float64)
    points = moving(Weights(2, weights))
    for k in range(3):
        bars = points[f"weights-{k}"].unflatten(1, (N, 3))
        assert (bars[:, :, 0, 0] == 0).all()
        assert torch.equal(bars[:, :, 1, 0], weights[..., k].T)
        assert (bars[..., :2, 1].round() == torch.arange(N)[:, None]).all()  # each in its own row
    places, names = points["weights-names"]
    assert names == [[f"<b>{name}</b>" if k == 2 else name for k, name in enumerate(METHODS)]] * 5
    assert places[0, :, 1].tolist() == list(range(N))


def test_a_weight_beyond_the_axis_is_written_out():
    weights = torch.full((N, 1, 2), 0.5, dtype=torch.float64)
    weights[4, 0, 1] = 8.61
    _, words = moving(Weights(0, weights))["weights-cut"]
    assert words == [["<b>… 8.6</b>" if k == 4 else "" for k in range(N)]]


def test_the_worst_task_has_the_least_cosine():
    cosines = torch.rand(N, 5, 2, dtype=torch.float64)
    lengths = torch.rand(N, 5, dtype=torch.float64)
    lengths[1] = 0
    points = moving(Worst(0, cosines, lengths))
    places, words = points["lengths"]
    assert places.shape == (5, N, 2)
    assert words[3] == [
        f"{v:.2f}" if k != 1 else "stands still" for k, v in enumerate(lengths[:, 3].tolist())
    ]
    assert torch.equal(points["worst"][..., 0], cosines.amin(-1).T)
    assert points["chosen-worst"][0, :, 1].unique().tolist() == [-0.5, 0.5]


def test_both_panels_stay_together_in_a_small_window():
    plane, weights, worst = Panel(), Weights(0, ZEROS), Worst(0, ZEROS, ZEROS[..., 0])
    Picture(plane, [[weights, worst]])
    for first, second in zip(weights.sizes, worst.sizes, strict=True):
        assert first == second
    apart = Panel(), Panel()
    Picture(plane, [list(apart)])
    assert weights.sizes[1][1] > 1.8 * apart[0].sizes[1][1]


def test_bars_are_shares_and_words_say_the_values():
    parts = {"large": torch.tensor([30.0, 49999.0]).double(), "small": torch.tensor([10.0, 1.0]).double()}
    shares = Shares("terms", "terms", parts)
    assert drawn(shares)["terms"].mode == "lines"
    points = moving(shares)
    bars = points["terms"].reshape(2, 2, 3, 2)
    assert bars[:, :, 0, 0].eq(0).all()
    assert bars[:, :, 1, 0].flatten().tolist() == pytest.approx([0.75, 0.25, 0.99998, 0.00002])
    places, words = points["terms-names"]
    assert words[0] == ["large: 30, 75 %", "small: 10, 25 %"]
    assert words[1] == ["large: 49,999, 99.998 %", "small: 1, under 0.01 %"]
    assert len(places) == 2  # a trace whose texts change must move
    assert (places[..., 1] < bars[:, :, 0, 1]).all()  # above the bar: the axis points down


def test_names_of_methods_end_before_the_zero_line_and_have_room():
    plane, weights, worst = Panel(ratio=1.0), Weights(0, ZEROS), Worst(0, ZEROS, ZEROS[..., 0])
    picture = Picture(plane, [[weights, worst]])
    traces = {trace.uid: trace for trace in picture.figure().data if trace.uid}
    places, _ = picture.traces()["weights-names"]
    assert traces["weights-names"].textposition == "middle left"
    assert places[..., 0].unique().item() < 0
    room = (places[0, 0, 0] - weights.x["range"][0]) * weights.unit[0] + 2 * GAP  # pixels
    assert room > WIDTH * max(map(len, METHODS))
    ticks = weights.unit[0] * torch.tensor(weights.x["tickvals"]).diff()
    assert ticks.min() > 2 * WIDTH
