"""Figures of plain numbers."""

import pytest
import torch

from flatmtl_lite.lab.figures import basic


def test_figures_hold_their_values():
    dots = basic.spread_dots({"noisy": {"LS": [1.0, 3.0]}}, "accuracy")
    assert [list(trace.y) for trace in dots.data] == [[2.0], [1.0, 3.0]]
    row = basic.image_row(torch.arange(8, dtype=torch.uint8).reshape(2, 2, 2), ["a", "b"])
    assert row.data[1].z.tolist() == [[6, 7], [4, 5]]  # the first line of an image is drawn on top


def test_arrows_stand_head_to_tail_and_carry_their_names():
    parts = {"loss": torch.tensor([1.0, 2.0]), "flat": (0.5, 0.0), "sam": (1.5, 2.0)}
    figure = basic.arrows({"task 1": parts}, reach=3)
    drawn = {trace.name: list(zip(trace.x, trace.y, strict=True)) for trace in figure.data}
    assert drawn == {"loss": [(0, 0), (1, 2)], "flat": [(1, 2), (1.5, 2)], "sam": [(0, 0), (1.5, 2)]}
    names = {note.text: note for note in figure.layout.annotations}
    assert names.keys() == {"task 1", "<b>loss</b>", "<b>flat</b>", "<b>SAM</b>"}
    assert names["<b>loss</b>"].xshift < 0 < names["<b>SAM</b>"].xshift  # outside the triangle
    assert names["<b>flat</b>"].yshift > 0


def test_at_rho_0_one_line_has_two_names_and_no_flat_part():
    parts = {"loss": (0.0, 4.0), "flat": (0.0, 0.0), "sam": (0.0, 4.0)}
    figure = basic.arrows({"task 1": parts}, reach=3)
    assert [trace.name for trace in figure.data] == ["loss", "sam"]
    _, loss, sam = figure.layout.annotations
    assert (loss.text, sam.text) == ("<b>loss</b>", "<b>SAM</b>")
    assert loss.xshift < 0 < sam.xshift


def test_curves_keep_small_numbers_on_logarithmic_axes():
    figure = basic.curves([1e-5, 1], {"error": torch.tensor([1.23456e-7, 2.0])}, "ρ", "error", log=True)
    assert figure.data[0].x == pytest.approx([1e-5, 1])
    assert figure.data[0].y == pytest.approx([1.235e-7, 2.0])
    assert figure.layout.xaxis.type == figure.layout.yaxis.type == "log"
