"""Figures draw the numbers that they are given."""

import pytest
import torch

from flatmtl_lite.lab.figures import basic as figures


def test_curves_keep_small_numbers_on_logarithmic_axes():
    figure = figures.curves([1e-5, 1], {"error": torch.tensor([1.23456e-7, 2.0])}, "ρ", "error", log=True)
    assert figure.data[0].x == pytest.approx([1e-5, 1])
    assert figure.data[0].y == pytest.approx([1.235e-7, 2.0])
    assert figure.layout.xaxis.type == figure.layout.yaxis.type == "log"


def test_conflict_thirds_draws_every_kind_of_every_method():
    thirds = {"loss parts": [0.1, 0.2, 0.3], "within task 2": [0.9, 0.5, 0.0]}
    figure = figures.conflict_thirds({"LS": thirds, "F-LS": thirds})
    assert [trace.name for trace in figure.data] == ["loss parts", "within task 2"] * 2
    assert [list(trace.y) for trace in figure.data] == [*thirds.values(), *thirds.values()]
    assert [trace.showlegend for trace in figure.data] == [True, True, False, False]
    assert [note.text for note in figure.layout.annotations] == ["LS", "F-LS"]
