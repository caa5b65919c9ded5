"""Figures of plain numbers."""

import pytest
import torch

from flatmtl_lite.lab.figures import basic


def test_figures_hold_their_values():
    dots = basic.spread_dots({"noisy": {"LS": [1.0, 3.0]}}, "accuracy")
    assert [list(trace.y) for trace in dots.data] == [[2.0], [1.0, 3.0]]
    arrows = basic.arrows({"task 1": {"loss": torch.tensor([1.0, 2.0]), "flat": (0.5, 0.0)}}, reach=3)
    assert [(trace.name, trace.x[1], trace.y[1]) for trace in arrows.data] == [
        ("loss", 1, 2),
        ("flat", 0.5, 0),
    ]
    row = basic.image_row(torch.arange(8, dtype=torch.uint8).reshape(2, 2, 2), ["a", "b"])
    assert row.data[1].z.tolist() == [[6, 7], [4, 5]]  # the first line of an image is drawn on top


def test_curves_keep_small_numbers_on_logarithmic_axes():
    figure = basic.curves([1e-5, 1], {"error": torch.tensor([1.23456e-7, 2.0])}, "ρ", "error", log=True)
    assert figure.data[0].x == pytest.approx([1e-5, 1])
    assert figure.data[0].y == pytest.approx([1.235e-7, 2.0])
    assert figure.layout.xaxis.type == figure.layout.yaxis.type == "log"
